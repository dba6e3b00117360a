%% Processes that share nothing: actors whose mailboxes the runtime schedules,
%% preemptively, on all cores.
%%
%% How a message flows. A client's reader process receives what its socket has, splits
%% off the complete frames, and asks the hub to broadcast them; it waits for the hub's
%% reply. The hub is one process, so its mailbox is the sequencing point. It sends the
%% frames to every client's writer process, and the writer sends everything that has
%% gathered in its mailbox.
%%
%%   reader -- call --> hub -- mail --> writer of each client
%%
%% Mailboxes are unbounded. The hub's holds at most one request per reader, because a
%% reader waits for the reply. A writer's is bounded by a counter of the bytes in it,
%% which hub and writer share; when it is full the client misses the frames.
%%
%% Shortcuts: the frames of one read are delivered, or dropped, together.
-module(server).
-export([main/0, main/1]).

-define(QUEUE_BYTES, 64 * 1024).  % queued for one client's writer
-define(READ_BYTES, 4 * 1024).    % per read
-define(BACKLOG, 1024).           % connections queued in the kernel
-define(ACCEPT_PAUSE_MS, 100).    % when descriptors have run out
-define(TCP_QUICKACK, {raw, 6, 12, <<1:32/native>>}). % as Linux numbers it

main() -> main([]).

main([Argument]) ->
    case listen(Argument) of
        {ok, Listener} ->
            {ok, Address} = inet:sockname(Listener),
            Hub = spawn_link(fun() -> hub(#{}) end),
            %% Modules are loaded at their first call. Once descriptors have run out, this
            %% one could not be loaded.
            {module, _} = code:ensure_loaded(erl_posix_msg),
            os:set_signal(sigterm, default), % ends the VM at once, without output
            io:format("listening on ~s~n", [show(Address)]),
            accept_clients(Listener, Hub);
        {error, Reason} ->
            fail("cannot listen on ~ts: ~ts", [Argument, explain(Reason)])
    end;
main(_) ->
    fail("expected one argument, HOST:PORT", []).

fail(Format, Arguments) ->
    io:format(standard_error, "server: error: " ++ Format ++ "~n", Arguments),
    halt(1).

listen(Argument) ->
    case parse(string:split(Argument, ":", trailing)) of
        {ok, Ip, Port} ->
            gen_tcp:listen(Port, [family(Ip), {ip, Ip}, binary, {active, false},
                                  {reuseaddr, true}, {nodelay, true}, {backlog, ?BACKLOG},
                                  {buffer, ?READ_BYTES},
                                  %% The end of a client's sending side is not yet its end.
                                  {exit_on_close, false}]);
        error ->
            {error, "expected HOST:PORT"}
    end.

parse([Host, Digits]) ->
    case {inet:parse_strict_address(string:trim(Host, both, "[]")), string:to_integer(Digits)} of
        {{ok, Ip}, {Port, []}} when Port >= 0, Port < 65536 -> {ok, Ip, Port};
        _ -> error
    end;
parse(_) ->
    error.

family({_, _, _, _}) -> inet;
family(_) -> inet6.

show({{_, _, _, _} = Ip, Port}) -> io_lib:format("~s:~b", [inet:ntoa(Ip), Port]);
show({Ip, Port}) -> io_lib:format("[~s]:~b", [inet:ntoa(Ip), Port]).

explain(Reason) when is_atom(Reason) -> inet:format_error(Reason);
explain(Text) -> Text.

accept_clients(Listener, Hub) ->
    case gen_tcp:accept(Listener) of
        {ok, Socket} ->
            Reader = spawn(fun() -> receive start -> join(Socket, Hub) end end),
            %% A socket is closed when its owner exits, if it is still open.
            ok = gen_tcp:controlling_process(Socket, Reader),
            Reader ! start;
        {error, Reason} ->
            io:format(standard_error, "server: cannot accept a client: ~ts~n", [explain(Reason)]),
            receive after ?ACCEPT_PAUSE_MS -> ok end
    end,
    accept_clients(Listener, Hub).

%% The hub owns the set of clients: each writer, with the counter of bytes in its mailbox.
hub(Writers) ->
    receive
        {join, Reader, Writer, Queued} ->
            Reader ! joined,
            hub(Writers#{Writer => Queued});
        {leave, Writer} ->
            Writer ! finish,
            hub(maps:remove(Writer, Writers));
        {say, Reader, Frames} ->
            Size = byte_size(Frames),
            maps:foreach(fun(Writer, Queued) -> offer(Writer, Queued, Frames, Size) end, Writers),
            Reader ! said,
            hub(Writers)
    end.

offer(Writer, Queued, Frames, Size) ->
    case counters:get(Queued, 1) + Size =< ?QUEUE_BYTES of
        true ->
            counters:add(Queued, 1, Size),
            Writer ! {frames, Frames};
        false ->
            missed
    end.

join(Socket, Hub) ->
    Queued = counters:new(1, []),
    {Writer, Monitor} = spawn_monitor(fun() -> write(Socket, Queued) end),
    Hub ! {join, self(), Writer, Queued},
    receive joined -> ok end,
    read(Socket, Hub, <<>>),
    Hub ! {leave, Writer},
    receive {'DOWN', Monitor, process, _, _} -> gen_tcp:close(Socket) end.

%% Reads until the end of the stream or an error; an incomplete last frame is dropped.
read(Socket, Hub, Rest) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Bytes} ->
            Stream = <<Rest/binary, Bytes/binary>>,
            {Frames, Incomplete} = split_binary(Stream, whole_frames(Stream, 0)),
            acknowledge(Socket, Incomplete),
            say(Hub, Frames),
            read(Socket, Hub, Incomplete);
        {error, _} ->
            ok
    end.

%% The length of the complete frames at the start of the stream.
whole_frames(Stream, At) ->
    case Stream of
        <<_:At/binary, Length, _:Length/binary, _/binary>> ->
            whole_frames(Stream, At + 1 + Length);
        _ ->
            At
    end.

%% Acknowledge at once: Nagle's algorithm may hold the rest back until then.
acknowledge(_, <<>>) ->
    nothing;
acknowledge(Socket, _) ->
    inet:setopts(Socket, [?TCP_QUICKACK]).

say(_, <<>>) ->
    nothing;
say(Hub, Frames) ->
    Hub ! {say, self(), Frames},
    receive said -> ok end.

%% A failed send means that the client has disconnected; the shutdown wakes its reader.
write(Socket, Queued) ->
    receive
        {frames, Frames} ->
            Batch = [Frames | gathered()],
            counters:sub(Queued, 1, iolist_size(Batch)),
            case gen_tcp:send(Socket, Batch) of
                ok -> write(Socket, Queued);
                {error, _} -> gen_tcp:shutdown(Socket, read_write)
            end;
        finish ->
            gen_tcp:shutdown(Socket, write)
    end.

%% Everything else in the mailbox, to be sent with the same system call.
gathered() ->
    receive
        {frames, Frames} -> [Frames | gathered()]
    after 0 ->
        []
    end.
