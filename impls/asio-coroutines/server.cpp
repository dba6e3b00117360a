// async/await in C++: coroutines of C++20 on Asio, all of them in one thread.
//
// The idea: a client is two coroutines, and an operator says how they belong together.
// `read() && write()` completes when both have ended, and cancels the other one when
// either throws. That is what a connection needs: at the end of its stream a client is
// still sent what is queued for it, and a broken connection ends both at once.
//
// How a message flows. accept_clients() starts serve() for each connection. read()
// receives bytes and splits off the complete frames; Room::broadcast() appends them to
// every client's outbox, the sender's included. Nothing is awaited in between, and there
// is one thread, so the order of these appends is the order of the messages. write()
// awaits Outbox::take(), which exchanges the outbox for an empty one, and sends it.
//
// An outbox is bounded: a client that reads too slowly misses the frames that do not fit.
//
// Shortcut: each client has its own copy of every message, in its outbox.
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <asio.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

using asio::awaitable, asio::use_awaitable, asio::ip::tcp, std::string_view;
using namespace asio::experimental::awaitable_operators;
using namespace std::chrono_literals;

constexpr std::size_t outbox_bytes_max = 65'536;  // beside as many that are being sent
constexpr std::size_t read_bytes_max = 8'192;     // per read, then others have their turn
constexpr int listen_backlog = 1024;              // connections queued in the kernel
constexpr auto accept_pause = 100ms;              // when descriptors have run out

tcp::acceptor listen_on(asio::io_context& context, string_view address);
awaitable<void> accept_clients(tcp::acceptor listener);

int main(int argc, char* argv[]) {
    if (argc != 2) {
        std::cerr << "usage: server HOST:PORT\n";
        return 2;
    }
    try {
        asio::io_context context{1};  // one thread will run it
        auto listener = listen_on(context, argv[1]);
        std::cout << "listening on " << listener.local_endpoint() << std::endl;
        co_spawn(context, accept_clients(std::move(listener)), asio::detached);
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

// What one client has yet to be sent.
class Outbox {
public:
    explicit Outbox(const asio::any_io_executor& executor)
        : filled{executor, asio::steady_timer::time_point::max()} {}

    void append(string_view frames) {
        auto room = outbox_bytes_max - waiting.size();
        if (frames.size() > room)
            frames = frames.substr(0, whole_frames(frames.substr(0, room)));
        if (!ended)
            waiting += frames;
        filled.cancel();
    }

    // What is waiting will still be taken, and nothing after it.
    void end() {
        ended = true;
        filled.cancel();
    }

    // Waits until there are frames, and exchanges them for the empty `batch`, which remains
    // empty at the end.
    awaitable<void> take(std::string& batch) {
        while (waiting.empty() && !ended) {
            asio::error_code cancelled;
            co_await filled.async_wait(asio::redirect_error(use_awaitable, cancelled));
        }
        waiting.swap(batch);
    }

private:
    std::string waiting;  // complete frames
    bool ended = false;
    asio::steady_timer filled;  // never expires: a condition variable, notified by cancel()
};

class Client;

class Room {
public:
    void enter(Client& client) { clients.insert(&client); }
    void leave(Client& client) { clients.erase(&client); }
    void broadcast(string_view frames);

private:
    std::set<Client*> clients;
};

// In the room from its construction to its destruction.
class Client {
public:
    Client(tcp::socket accepted, Room& its_room) : socket{std::move(accepted)}, room{its_room} {
        room.enter(*this);
    }
    ~Client() { room.leave(*this); }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    tcp::socket socket;
    Room& room;
    Outbox outbox{socket.get_executor()};
};

// The sequencing point.
void Room::broadcast(string_view frames) {
    for (auto* client : clients)
        client->outbox.append(frames);
}

// Returns at the end of the stream, and throws if the connection is broken.
awaitable<void> read(Client& client) {
    std::array<char, read_bytes_max> buffer;
    std::size_t length = 0;  // of an incomplete frame at the start of the buffer
    for (;;) {
        asio::error_code error;
        length += co_await client.socket.async_read_some(
            asio::buffer(buffer) + length, asio::redirect_error(use_awaitable, error));
        if (error == asio::error::eof)
            break;
        if (error)
            throw std::system_error{error};
        auto whole = whole_frames({buffer.data(), length});
        if (whole > 0) {
            client.room.broadcast({buffer.data(), whole});
        } else {
            // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            const int yes = 1;
            setsockopt(client.socket.native_handle(), IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof yes);
        }
        std::copy(buffer.data() + whole, buffer.data() + length, buffer.data());
        length -= whole;
    }
    client.outbox.end();
}

awaitable<void> write(Client& client) {
    std::string batch;
    while (co_await client.outbox.take(batch), !batch.empty()) {
        co_await async_write(client.socket, asio::buffer(batch), use_awaitable);
        batch.clear();
    }
}

// One client, from its acceptance to its end. Its socket is closed with this coroutine. An
// exception ends the coroutine and nothing else: the client has disconnected.
awaitable<void> serve(tcp::socket socket, Room& room) {
    Client client{std::move(socket), room};
    client.socket.set_option(tcp::no_delay{true});
    co_await (read(client) && write(client));
}

awaitable<void> accept_clients(tcp::acceptor listener) {
    Room room;
    asio::steady_timer pause{listener.get_executor()};
    for (bool failing = false;;) {
        asio::error_code error;
        auto socket = co_await listener.async_accept(asio::redirect_error(use_awaitable, error));
        if (!error) {
            co_spawn(listener.get_executor(), serve(std::move(socket), room), asio::detached);
        } else {
            // Descriptors have probably run out. Report it once, and try again when some
            // may be free.
            if (!failing)
                std::cerr << "server: cannot accept a client: " << error.message() << '\n';
            pause.expires_after(accept_pause);
            co_await pause.async_wait(use_awaitable);
        }
        failing = static_cast<bool>(error);
    }
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

tcp::acceptor listen_on(asio::io_context& context, string_view address) {
    auto endpoint = parse(address);
    tcp::acceptor listener{context, endpoint.protocol()};
    listener.set_option(tcp::acceptor::reuse_address{true});
    if (endpoint.address().is_v6())
        listener.set_option(asio::ip::v6_only{true});  // not IPv4 as well, if it is [::]
    listener.bind(endpoint);
    listener.listen(listen_backlog);
    return listener;
}
