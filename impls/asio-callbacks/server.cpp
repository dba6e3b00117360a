// Callbacks on Asio: a proactor, which calls a handler when an operation is complete.
//
// The idea: a client is an object, and each of its operations in flight holds a reference
// to it. So nothing decides when a client is freed: it is gone, and its socket is closed,
// when it has left the room and no handler is pending any more. At the end of its stream it
// stops receiving and leaves the room, and lives on until the last send is complete. If
// its connection breaks, the socket is closed, which completes all its operations.
//
// How a message flows. Session::receive() starts a read. Its handler, on_received(), splits
// off the complete frames, and Room::broadcast() delivers them to every session, the
// sender's included. There is one thread, so the order of these calls is the order of the
// messages. deliver() appends to what is waiting; send() exchanges that for an empty
// string and starts a write, unless one is in flight; on_sent() sends what has gathered
// meanwhile.
//
// What is waiting is bounded: a client that reads too slowly misses the frames that do not
// fit.
//
// Shortcut: each client has its own copy of every message.
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <asio.hpp>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

using asio::error_code, asio::ip::tcp, std::string_view;
using namespace std::chrono_literals;

constexpr std::size_t waiting_bytes_max = 65'536;  // for one client, beside as many being sent
constexpr std::size_t read_bytes_max = 8'192;      // per read, then others have their turn
constexpr int listen_backlog = 1024;               // connections queued in the kernel
constexpr auto accept_pause = 100ms;               // when descriptors have run out

class Session;

class Room {
public:
    void enter(std::shared_ptr<Session> session) { sessions.insert(std::move(session)); }
    void leave(const std::shared_ptr<Session>& session) { sessions.erase(session); }
    void broadcast(string_view frames);

private:
    std::set<std::shared_ptr<Session>> sessions;
};

class Server {
public:
    Server(asio::io_context& context, string_view address);
    tcp::endpoint address() const { return listener.local_endpoint(); }
    void accept();

private:
    void on_accepted(error_code error, tcp::socket socket);

    tcp::acceptor listener;
    asio::steady_timer pause;
    bool failing = false;  // the last accept
    Room room;
};

int main(int argc, char* argv[]) {
    if (argc != 2) {
        std::cerr << "usage: server HOST:PORT\n";
        return 2;
    }
    try {
        asio::io_context context{1};  // one thread will run it
        Server server{context, argv[1]};
        std::cout << "listening on " << server.address() << std::endl;
        server.accept();
        context.run();
    } catch (const std::exception& error) {
        std::cerr << "server: " << argv[1] << ": " << error.what() << '\n';
    }
    return EXIT_FAILURE;
}

// The length of the complete frames at the start of `bytes`.
std::size_t whole_frames(string_view bytes) {
    std::size_t end = 0;
    while (end < bytes.size() && end + static_cast<unsigned char>(bytes[end]) < bytes.size())
        end += 1 + static_cast<unsigned char>(bytes[end]);
    return end;
}

class Session : public std::enable_shared_from_this<Session> {
public:
    Session(tcp::socket accepted, Room& its_room) : socket{std::move(accepted)}, room{its_room} {}

    void start() {
        error_code ignored;
        socket.set_option(tcp::no_delay{true}, ignored);
        room.enter(shared_from_this());
        receive();
    }

    void deliver(string_view frames) {
        auto free = waiting_bytes_max - waiting.size();
        if (frames.size() > free)
            frames = frames.substr(0, whole_frames(frames.substr(0, free)));
        waiting += frames;
        if (sending.empty())
            send();
    }

private:
    void receive() {
        socket.async_read_some(asio::buffer(buffer) + length,
                               [self = shared_from_this()](error_code error, std::size_t bytes) {
                                   self->on_received(error, bytes);
                               });
    }

    void on_received(error_code error, std::size_t bytes) {
        if (error) {
            room.leave(shared_from_this());
            if (error != asio::error::eof)
                disconnect();
            return;
        }
        length += bytes;
        auto whole = whole_frames({buffer.data(), length});
        if (whole > 0)
            room.broadcast({buffer.data(), whole});
        else
            acknowledge();
        std::copy(buffer.data() + whole, buffer.data() + length, buffer.data());
        length -= whole;
        receive();
    }

    // At once: Nagle's algorithm may hold the rest of the frame back until then.
    void acknowledge() {
        const int yes = 1;
        setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof yes);
    }

    // The buffer must stay as it is until the handler is called. So frames gather elsewhere.
    void send() {
        sending.swap(waiting);
        async_write(socket, asio::buffer(sending),
                    [self = shared_from_this()](error_code error, std::size_t) {
                        self->on_sent(error);
                    });
    }

    void on_sent(error_code error) {
        sending.clear();
        if (error)
            disconnect();
        else if (!waiting.empty())
            send();
    }

    // The connection is broken. This completes what is in flight, with an error.
    void disconnect() {
        error_code ignored;
        socket.close(ignored);
        waiting.clear();
    }

    tcp::socket socket;
    Room& room;
    std::array<char, read_bytes_max> buffer;
    std::size_t length = 0;  // of an incomplete frame at the start of the buffer
    std::string waiting;     // complete frames
    std::string sending;     // in flight, unless empty
};

// The sequencing point.
void Room::broadcast(string_view frames) {
    for (const auto& session : sessions)
        session->deliver(frames);
}

void Server::accept() {
    listener.async_accept([this](error_code error, tcp::socket socket) {
        on_accepted(error, std::move(socket));
    });
}

void Server::on_accepted(error_code error, tcp::socket socket) {
    if (!error) {
        std::make_shared<Session>(std::move(socket), room)->start();
        accept();
    } else {
        // Descriptors have probably run out. Report it once, and try again when some may be
        // free.
        if (!failing)
            std::cerr << "server: cannot accept a client: " << error.message() << '\n';
        pause.expires_after(accept_pause);
        pause.async_wait([this](error_code) { accept(); });
    }
    failing = static_cast<bool>(error);
}

// HOST is an IPv4 address, or an IPv6 address in brackets.
tcp::endpoint parse(string_view address) {
    auto colon = std::min(address.rfind(':'), address.size());
    auto host = address.substr(0, colon), digits = address.substr(colon);
    auto bracketed = host.starts_with('[') && host.ends_with(']');
    unsigned short port = 0;
    auto end = digits.data() + digits.size();
    auto [rest, error] = std::from_chars(digits.data() + !digits.empty(), end, port);
    auto ip = asio::ip::make_address(bracketed ? host.substr(1, host.size() - 2) : host);
    if (error != std::errc{} || rest != end || bracketed != ip.is_v6())
        throw std::invalid_argument{"not HOST:PORT"};
    return {ip, port};
}

Server::Server(asio::io_context& context, string_view address) : listener{context}, pause{context} {
    auto endpoint = parse(address);
    listener.open(endpoint.protocol());
    listener.set_option(tcp::acceptor::reuse_address{true});
    if (endpoint.address().is_v6())
        listener.set_option(asio::ip::v6_only{true});  // not IPv4 as well, if it is [::]
    listener.bind(endpoint);
    listener.listen(listen_backlog);
}
