/*  Threads and message queues in Prolog: what there is to do is said by clauses, and the room is
    a relation.

    The idea: `client(Queue)` is true of every client's queue, and `say/1` sends a frame to all
    queues of which it is true. Which clients there are is asserted and retracted while the
    program runs. A queue has a limit, and a send that may take no time at all fails if the queue
    is full. Failing is no error here but an answer: a client that it holds for misses the frame.

        serve -> hear -> say -> queue of each client -> speak

    How a message flows. Each client has a thread in `hear/1` and one in `speak/2`. `hear/1` takes
    one frame after the other off its stream, however TCP has cut it, and says it. `say/1` holds
    the room's mutex: it is the sequencing point. `speak/2` writes what is in its queue to a
    buffered stream, and flushes the stream when the queue is empty.

    What ends a conversation, an end of the stream in mid-frame or a reset, fails or throws, and
    `attend/2` cleans up after either.

    Shortcut: SWI-Prolog's own socket library knows IPv4 and TCP_NODELAY, and no other option.
*/

:- module(server, []).
:- use_module(library(main)).
:- use_module(library(socket)).

:- initialization(main, main).

:- dynamic client/1.                    % a queue

queue_frames_max(64).                   % for a client that reads slowly
listen_backlog(1024).                   % connections queued in the kernel
accept_pause_seconds(0.1).              % when descriptors or threads have run out

main([Argument]) :-
    !,
    on_signal(term, _, default),
    catch(listen(Argument, Socket), Problem, cannot_listen(Argument, Problem)),
    format("listening on ~w~n", [Argument]),
    flush_output,
    serve(Socket).
main(_) :-
    fail_with("usage: server.pl HOST:PORT").

listen(Argument, Socket) :-
    address(Argument, Host, Port),
    tcp_socket(Socket),
    tcp_setopt(Socket, reuseaddr),
    tcp_bind(Socket, Host:Port),
    listen_backlog(Backlog),
    tcp_listen(Socket, Backlog).

address(Argument, Host, Port) :-
    atomic_list_concat([Host, Digits], :, Argument),
    atom_number(Digits, Port),
    between(0, 65535, Port),
    atomic_list_concat(Parts, '.', Host),
    length(Parts, 4),
    !.
address(_, _, _) :-
    throw(error(format("not an IPv4 address and a port", []), _)).

cannot_listen(Argument, Problem) :-
    message_to_codes(Problem, Reason),
    format(string(Line), "cannot listen on ~w: ~s", [Argument, Reason]),
    fail_with(Line).

message_to_codes(Problem, Codes) :-
    message_to_lines(Problem, Text),
    string_codes(Text, Codes).

message_to_lines(error(format(Format, Arguments), _), Text) :-
    !,
    format(string(Text), Format, Arguments).
message_to_lines(error(socket_error(_, Text), _), Text) :-
    !.
message_to_lines(Problem, Text) :-
    term_string(Problem, Text).

fail_with(Line) :-
    format(user_error, "server: ~w~n", [Line]),
    halt(1).

serve(Socket) :-
    repeat,
    catch(accept(Socket), Problem, pause(Problem)),
    fail.

accept(Socket) :-
    tcp_accept(Socket, Connection, _Peer),
    catch(start(Connection), Problem, (tcp_close_socket(Connection), throw(Problem))).

start(Connection) :-
    tcp_setopt(Connection, nodelay),
    tcp_open_socket(Connection, In, Out),
    % One character is one byte.
    maplist([Stream]>>set_stream(Stream, encoding(octet)), [In, Out]),
    queue_frames_max(Max),
    message_queue_create(Queue, [max_size(Max)]),
    with_mutex(room, assertz(client(Queue))),
    thread_create(attend(In, Queue), _, [detached(true)]),
    thread_create(speak(Out, Queue), _, [detached(true)]).

pause(Problem) :-
    message_to_lines(Problem, Text),
    format(user_error, "server: cannot accept a client: ~w~n", [Text]),
    accept_pause_seconds(Seconds),
    sleep(Seconds).

attend(In, Queue) :-
    ignore(catch(hear(In), _, true)),
    with_mutex(room, retract(client(Queue))),
    thread_send_message(Queue, end),
    close(In, [force(true)]).

hear(In) :-
    frame(In, Frame),
    say(Frame),
    hear(In).

% Fails at the end of the stream.
frame(In, Frame) :-
    get_char(In, Header),
    char_code(Header, Length),          % end_of_file is no character
    read_string(In, Length, Body),
    string_length(Body, Length),
    string_concat(Header, Body, Frame).

% The sequencing point.
say(Frame) :-
    with_mutex(room, forall(client(Queue), offer(Queue, Frame))).

offer(Queue, Frame) :-
    ignore(thread_send_message(Queue, Frame, [timeout(0)])).

% After a reset it takes frames and writes none, until it is told the end.
speak(Out, Queue) :-
    thread_get_message(Queue, Frame),
    (   Frame == end
    ->  close(Out, [force(true)]),
        message_queue_destroy(Queue)
    ;   ignore(catch(write_frame(Out, Queue, Frame), _, true)),
        speak(Out, Queue)
    ).

write_frame(Out, Queue, Frame) :-
    write(Out, Frame),
    (   message_queue_property(Queue, size(0))
    ->  flush_output(Out)
    ;   true
    ).
