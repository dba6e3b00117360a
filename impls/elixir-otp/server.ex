# Actors under supervision: a process for everything that can fail by itself, and a tree
# that says what happens to the others when it does.
#
# How a message flows. A client's reader, a task, receives what its socket has, splits off
# the complete frames and calls the room (Chat.Room.say). The room is one GenServer, which
# handles one call at a time: this is the sequencing point. It looks up the clients in a
# registry and offers the frames to each of them (Chat.Client.offer). A client is a
# GenServer, too; it sends everything that has gathered in its mailbox.
#
#   reader -- call --> Chat.Room -- cast --> Chat.Client of each client
#
# The tree in Chat.start_link is the plan for failures. Reader and client are linked, so
# they die together, their socket is closed, and the registry forgets the client; nobody
# has to be told. If the room dies, so do the clients, who depend on it, and everything
# starts again on the same listening socket.
#
# Mailboxes are unbounded. The room's holds at most one call per reader, because a reader
# waits for the reply. A client's is bounded by a counter of the bytes in it, which the
# room and the client share; when it is full, the client misses the frames.
#
# Shortcut: the frames of one read are delivered, or missed, together.

defmodule Chat do
  @backlog 1024

  def main(arguments) do
    with {:ok, ip, port} <- parse(arguments),
         {:ok, listener} <- listen(ip, port) do
      log_to_standard_error()
      :os.set_signal(:sigterm, :default)
      {:ok, _supervisor} = start_link(listener)
      {:ok, {ip, port}} = :inet.sockname(listener)
      IO.puts("listening on #{host(ip)}:#{port}")
      Process.sleep(:infinity)
    else
      {:error, reason} ->
        IO.puts(:stderr, "server: #{explain(reason)}")
        System.halt(1)
    end
  end

  # One child may depend on those before it, and on no other: hence :rest_for_one.
  def start_link(listener) do
    children = [
      {Registry, name: Chat.Members, keys: :duplicate},
      Chat.Room,
      {DynamicSupervisor, name: Chat.Clients, strategy: :one_for_one},
      {Chat.Acceptor, listener}
    ]

    Supervisor.start_link(children, strategy: :rest_for_one)
  end

  defp parse([address]) do
    with [_, host, port] <- Regex.run(~r/^(\d[\d.]*|\[.*\]):(\d{1,5})$/, address),
         host = host |> String.trim_leading("[") |> String.trim_trailing("]"),
         {:ok, ip} <- :inet.parse_strict_address(to_charlist(host)),
         port when port < 65_536 <- String.to_integer(port) do
      {:ok, ip, port}
    else
      _ -> {:error, "#{inspect(address)} is not HOST:PORT"}
    end
  end

  defp parse(_), do: {:error, "expected one argument, HOST:PORT"}

  defp listen(ip, port) do
    family = if tuple_size(ip) == 4, do: [:inet], else: [:inet6, ipv6_v6only: true]

    options = [
      :binary,
      ip: ip,
      active: false,
      reuseaddr: true,
      nodelay: true,
      backlog: @backlog,
      buffer: Chat.Client.read_bytes(),
      # The end of a client's sending side is not yet its end.
      exit_on_close: false
    ]

    :gen_tcp.listen(port, family ++ options)
  end

  # Reports of crashes go to standard output unless told otherwise.
  defp log_to_standard_error do
    Enum.each(:logger.get_handler_ids(), &:logger.remove_handler/1)
    handler = %{level: :warning, config: %{type: :standard_error}}
    :ok = :logger.add_handler(:default, :logger_std_h, handler)
  end

  defp host(ip) when tuple_size(ip) == 4, do: :inet.ntoa(ip)
  defp host(ip), do: "[#{:inet.ntoa(ip)}]"

  def explain(reason) when is_atom(reason), do: :inet.format_error(reason)
  def explain(text), do: text
end

defmodule Chat.Acceptor do
  use Task, restart: :permanent

  @pause_ms 100

  def start_link(listener) do
    # Modules are loaded when they are first called. Once descriptors have run out, this one
    # could not be loaded.
    {:module, _} = Code.ensure_loaded(:erl_posix_msg)
    Task.start_link(__MODULE__, :accept, [listener])
  end

  def accept(listener) do
    case :gen_tcp.accept(listener) do
      {:ok, socket} ->
        {:ok, client} = DynamicSupervisor.start_child(Chat.Clients, {Chat.Client, socket})
        Chat.Client.own(client, socket)

      {:error, reason} ->
        # Descriptors have probably run out: some will be freed.
        IO.puts(:stderr, "server: cannot accept a client: #{Chat.explain(reason)}")
        Process.sleep(@pause_ms)
    end

    accept(listener)
  end
end

defmodule Chat.Room do
  use GenServer

  def start_link(_), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  # A client joins for as long as its process lives.
  def join(queued), do: Registry.register(Chat.Members, __MODULE__, queued)

  def say(frames), do: GenServer.call(__MODULE__, {:say, frames}, :infinity)

  def leave(client), do: GenServer.cast(__MODULE__, {:leave, client})

  @impl true
  def init(_), do: {:ok, nil}

  @impl true
  def handle_call({:say, frames}, _reader, state) do
    Registry.dispatch(Chat.Members, __MODULE__, fn members ->
      for {client, queued} <- members, do: Chat.Client.offer(client, queued, frames)
    end)

    {:reply, :ok, state}
  end

  # Takes its turn behind the client's last frames, which the room has sent.
  @impl true
  def handle_cast({:leave, client}, state) do
    Chat.Client.finish(client)
    {:noreply, state}
  end
end

defmodule Chat.Client do
  use GenServer, restart: :temporary

  # Queued for one client, and what a message in a mailbox costs beside its frames.
  @queue_bytes 64 * 1024
  @overhead_bytes 100
  @read_bytes 4 * 1024
  # As Linux numbers it: IPPROTO_TCP, TCP_QUICKACK.
  @quickack {:raw, 6, 12, <<1::native-32>>}

  defstruct [:socket, :queued, batch: []]

  def start_link(socket), do: GenServer.start_link(__MODULE__, socket)

  def own(client, socket) do
    :ok = :gen_tcp.controlling_process(socket, client)
    send(client, :owner)
  end

  def finish(client), do: GenServer.cast(client, :finish)

  def offer(client, queued, frames) do
    if :counters.get(queued, 1) + size(frames) <= @queue_bytes do
      :counters.add(queued, 1, size(frames))
      GenServer.cast(client, {:frames, frames})
    end
  end

  def read_bytes, do: @read_bytes

  @impl true
  def init(socket) do
    queued = :counters.new(1, [])
    {:ok, _} = Chat.Room.join(queued)
    {:ok, %__MODULE__{socket: socket, queued: queued}, {:continue, :start}}
  end

  # It is in the room already, and touches the socket when that is its own: a socket is
  # closed when its owner ends.
  @impl true
  def handle_continue(:start, client) do
    receive do: (:owner -> :ok)
    me = self()
    {:ok, _reader} = Task.start_link(fn -> read(client.socket, me, <<>>) end)
    {:noreply, client}
  end

  # A timeout of 0 comes when the mailbox is empty. Then the batch, newest first, is sent.
  @impl true
  def handle_cast({:frames, frames}, client) do
    {:noreply, %{client | batch: [frames | client.batch]}, 0}
  end

  def handle_cast(:finish, client) do
    flush(client)
    {:stop, :normal, client}
  end

  @impl true
  def handle_info(:timeout, client) do
    case flush(client) do
      :ok ->
        sent = client.batch |> Enum.map(&size/1) |> Enum.sum()
        :counters.sub(client.queued, 1, sent)
        {:noreply, %{client | batch: []}}

      {:error, reason} ->
        {:stop, {:shutdown, reason}, client}
    end
  end

  defp flush(client), do: :gen_tcp.send(client.socket, Enum.reverse(client.batch))

  defp size(frames), do: byte_size(frames) + @overhead_bytes

  # The reader: until the end of the stream; it drops an incomplete last frame.
  defp read(socket, client, rest) do
    case :gen_tcp.recv(socket, 0) do
      {:ok, bytes} ->
        stream = rest <> bytes
        {frames, rest} = :erlang.split_binary(stream, complete(stream))

        if frames == <<>>, do: acknowledge(socket), else: Chat.Room.say(frames)
        read(socket, client, rest)

      {:error, :closed} ->
        Chat.Room.leave(client)

      {:error, reason} ->
        exit({:shutdown, reason})
    end
  end

  # At once, as Nagle's algorithm may hold the rest of the frame back until then.
  defp acknowledge(socket), do: :inet.setopts(socket, [@quickack])

  # How many bytes at the start of the stream are complete frames.
  defp complete(<<length, _body::binary-size(length), rest::binary>>) do
    1 + length + complete(rest)
  end

  defp complete(_incomplete), do: 0
end
