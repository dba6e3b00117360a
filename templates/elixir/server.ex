# __NAME__: two processes per client, and one that gives the order.
#
# How a message flows. A client's reader process receives what its socket has, splits off
# the complete frames, and calls the room (Room.say). The room is one process, which handles
# one call at a time: this is the sequencing point. It offers the frames to every client's
# writer process (offer), including the sender's, and the writer sends everything that has
# gathered in its mailbox. A mailbox is bounded by a counter that room and writer share; a
# client whose mailbox is full misses the frames.

defmodule Server do
  # Queued for one client.
  @queue_bytes 64 * 1024
  # What a message in a mailbox costs beside its frames.
  @overhead_bytes 100
  # Read from one client at once.
  @read_bytes 4 * 1024
  # Connections queued in the kernel.
  @backlog 1024
  # When descriptors have run out.
  @accept_pause_ms 100
  # IPPROTO_TCP and TCP_QUICKACK, as Linux numbers them.
  @quickack {:raw, 6, 12, <<1::native-32>>}

  def main(arguments) do
    with {:ok, ip, port} <- parse(arguments),
         {:ok, listener} <- listen(ip, port) do
      # Loads the texts of errors: without descriptors that would be too late.
      :inet.format_error(:emfile)
      :os.set_signal(:sigterm, :default)
      {:ok, _} = Room.start_link()
      {:ok, {ip, port}} = :inet.sockname(listener)
      IO.puts("listening on #{host(ip)}:#{port}")
      accept(listener)
    else
      {:error, reason} ->
        IO.puts(:stderr, "server: error: #{explain(reason)}")
        System.halt(1)
    end
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
    # The end of a client's sending side is not yet its end.
    reading = [active: false, buffer: @read_bytes, exit_on_close: false]
    options = [:binary, ip: ip, reuseaddr: true, nodelay: true, backlog: @backlog]
    :gen_tcp.listen(port, family ++ reading ++ options)
  end

  defp host(ip) when tuple_size(ip) == 4, do: :inet.ntoa(ip)
  defp host(ip), do: "[#{:inet.ntoa(ip)}]"

  defp explain(reason) when is_atom(reason), do: :inet.format_error(reason)
  defp explain(text), do: text

  defp accept(listener) do
    case :gen_tcp.accept(listener) do
      {:ok, socket} ->
        reader = spawn(fn -> serve(socket) end)
        :ok = :gen_tcp.controlling_process(socket, reader)
        send(reader, :start)

      {:error, reason} ->
        IO.puts(:stderr, "server: cannot accept a client: #{explain(reason)}")
        Process.sleep(@accept_pause_ms)
    end

    accept(listener)
  end

  # A client's socket is closed when its owner, the reader, ends.
  defp serve(socket) do
    receive do: (:start -> :ok)
    queued = :counters.new(1, [])
    {writer, monitor} = spawn_monitor(fn -> write(socket, queued) end)
    Room.join(writer, queued)
    read(socket, <<>>)
    Room.leave(writer)
    receive do: ({:DOWN, ^monitor, :process, _, _} -> :ok)
  end

  # Until the end of the stream or an error; an incomplete last frame is dropped.
  defp read(socket, partial) do
    with {:ok, bytes} <- :gen_tcp.recv(socket, 0) do
      stream = partial <> bytes
      {frames, partial} = :erlang.split_binary(stream, complete(stream))
      if frames == <<>>, do: acknowledge(socket), else: Room.say(frames)
      read(socket, partial)
    end
  end

  # How many bytes at the start of the stream are complete frames.
  defp complete(<<length, _body::binary-size(length), rest::binary>>) do
    1 + length + complete(rest)
  end

  defp complete(_incomplete), do: 0

  # A sender may wait for the acknowledgement of a frame's start before it sends the rest,
  # and the kernel delays that by 40 ms unless told otherwise each time.
  defp acknowledge(socket), do: :inet.setopts(socket, [@quickack])

  # Called by the room.
  def offer(writer, queued, frames) do
    if :counters.get(queued, 1) + size(frames) <= @queue_bytes do
      :counters.add(queued, 1, size(frames))
      send(writer, {:frames, frames})
    end
  end

  defp size(frames), do: byte_size(frames) + @overhead_bytes

  defp write(socket, queued) do
    receive do
      {:frames, frames} ->
        batch = [frames | gathered()]
        sent = :gen_tcp.send(socket, batch)
        :counters.sub(queued, 1, batch |> Enum.map(&size/1) |> Enum.sum())
        if sent == :ok, do: write(socket, queued), else: :gen_tcp.shutdown(socket, :read_write)

      :finish ->
        :gen_tcp.shutdown(socket, :write)
    end
  end

  # Everything else in the mailbox, to be sent with the same system call.
  defp gathered do
    receive do
      {:frames, frames} -> [frames | gathered()]
    after
      0 -> []
    end
  end
end

defmodule Room do
  use GenServer

  def start_link, do: GenServer.start_link(__MODULE__, %{}, name: __MODULE__)
  def join(writer, queued), do: GenServer.call(__MODULE__, {:join, writer, queued}, :infinity)
  def say(frames), do: GenServer.call(__MODULE__, {:say, frames}, :infinity)
  def leave(writer), do: GenServer.call(__MODULE__, {:leave, writer}, :infinity)

  @impl true
  def init(writers), do: {:ok, writers}

  @impl true
  def handle_call({:join, writer, queued}, _reader, writers) do
    {:reply, :ok, Map.put(writers, writer, queued)}
  end

  def handle_call({:say, frames}, _reader, writers) do
    for {writer, queued} <- writers, do: Server.offer(writer, queued, frames)
    {:reply, :ok, writers}
  end

  def handle_call({:leave, writer}, _reader, writers) do
    send(writer, :finish)
    {:reply, :ok, Map.delete(writers, writer)}
  end
end
