(* Concurrent ML, where synchronous events come from.
 *
 * The idea: an event is a value that says what to wait for. sync waits for one, choose and select
 * for the first of several, and wrap says what follows. So an operation that waits need not be
 * a function that waits: it can be an abstraction that returns an event, as Outbox is.
 *
 *     accepting -> hear -> says -> room -> Outbox.put | Outbox.take -> speak
 *
 * How a message flows. Each client has three threads. hear receives, and says the complete frames
 * of one read on a channel that holds nothing. room, one thread, takes from one client at a time:
 * it is the sequencing point. It puts the frames into the outbox of each client. The thread of
 * an outbox does nothing but take and give, so it is always ready soon, and the room never waits
 * for a socket. speak takes all that is in the outbox and sends it at once.
 *
 * Shortcuts: the frames of one read are delivered, or missed, together. The sockets of the Basis
 * Library are IPv4, and have no option for delayed acknowledgements.
 *)

structure Main : sig
    val main : string * string list -> OS.Process.status
end =
struct
    open CML

    val readBytesMax = 4096
    val backlog = 1024                                  (* connections queued in the kernel *)
    val timeSlice = Time.fromMilliseconds 5             (* and how often sockets are looked at *)
    val acceptPause = Time.fromMilliseconds 100         (* when descriptors have run out *)

    type connection = Socket.active INetSock.stream_sock

    exception Usage

    (* -- The room -- *)

    datatype event
      = Join of Outbox.outbox * thread_id
      | Say of Word8Vector.vector
      | Leave of thread_id

    val told : event chan = channel ()

    fun room members =
        case recv told of
            Join member => room (member :: members)
          | Say frames => (app (fn (outbox, _) => sync (Outbox.put (outbox, frames))) members;
                           room members)
          | Leave who =>
                let val (gone, rest) = List.partition (fn (_, tid) => sameTid (tid, who)) members
                in app (fn (outbox, _) => sync (Outbox.close outbox)) gone; room rest
                end

    (* -- A client -- *)

    (* How many bytes at the start of the stream are complete frames. *)
    fun complete stream =
        let
            fun next start =
                if start >= Word8Vector.length stream then start
                else
                    let val frameEnd = start + 1 + Word8.toInt (Word8Vector.sub (stream, start))
                    in if frameEnd > Word8Vector.length stream then start else next frameEnd
                    end
        in next 0
        end

    (* Ends with the stream, or with an exception. *)
    fun hear (connection, partial) =
        let val read = Socket.recvVec (connection, readBytesMax)
        in
            if Word8Vector.length read = 0 then ()
            else
                let
                    val stream = Word8Vector.concat [partial, read]
                    val frames = complete stream
                    fun slice (start, length) =
                        Word8VectorSlice.vector (Word8VectorSlice.slice (stream, start, length))
                in
                    if frames = 0 then () else send (told, Say (slice (0, SOME frames)));
                    hear (connection, slice (frames, NONE))
                end
        end

    fun sendAll (connection, bytes) =
        if Word8VectorSlice.isEmpty bytes then ()
        else
            let val sent = Socket.sendVec (connection, bytes)
            in sendAll (connection, Word8VectorSlice.subslice (bytes, sent, NONE))
            end

    (* What is left in the outbox of a broken connection is taken, and goes nowhere. *)
    fun speak (connection, outbox, broken) =
        let
            val frames = sync (Outbox.take outbox)
            fun deliver () = (sendAll (connection, Word8VectorSlice.full frames); false)
        in
            if Word8Vector.length frames = 0 then Socket.close connection
            else speak (connection, outbox, broken orelse deliver () handle OS.SysErr _ => true)
        end

    fun attend connection () =
        let val outbox = Outbox.outbox ()
        in
            send (told, Join (outbox, getTid ()));
            ignore (spawn (fn () => speak (connection, outbox, false)));
            hear (connection, Word8Vector.fromList []) handle OS.SysErr _ => ();
            send (told, Leave (getTid ()))
        end

    (* -- The start -- *)

    fun report words = TextIO.output (TextIO.stdErr, concat ("server: " :: words @ ["\n"]))

    fun parse address =
        let
            fun port digits =
                case Int.fromString digits of
                    SOME number => if CharVector.all Char.isDigit digits andalso number < 65536
                                   then number else raise Usage
                  | NONE => raise Usage
        in
            case String.fields (fn c => c = #":") address of
                [host, digits] => (case NetHostDB.fromString host of
                                       SOME ip => INetSock.toAddr (ip, port digits)
                                     | NONE => raise Usage)
              | _ => raise Usage
        end

    fun listen address : Socket.passive INetSock.stream_sock =
        let val listener = INetSock.TCP.socket ()
        in
            Socket.Ctl.setREUSEADDR (listener, true);
            Socket.bind (listener, address);
            Socket.listen (listener, backlog);
            listener
        end

    fun accepting listener =
        let
            val (connection : connection, _) = Socket.accept listener
        in
            INetSock.TCP.setNODELAY (connection, true);
            ignore (spawn (attend connection))
        end
        handle OS.SysErr (reason, _) =>
            (report ["cannot accept a client: ", reason]; sync (timeOutEvt acceptPause))

    fun forever action = (action (); forever action)

    fun serve argument () =
        let val listener = listen (parse argument)
        in
            ignore (Signals.setHandler (UnixSignals.sigPIPE, Signals.IGNORE));
            ignore (spawn (fn () => room []));
            TextIO.print ("listening on " ^ argument ^ "\n");
            TextIO.flushOut TextIO.stdOut;
            forever (fn () => accepting listener)
        end
        handle OS.SysErr (reason, _) => fail [argument, ": ", reason]
             | Usage => fail ["'", argument, "' is not an IPv4 address and a port"]
    and fail words = (report words; RunCML.shutdown OS.Process.failure)

    fun main (_, [argument]) = RunCML.doit (serve argument, SOME timeSlice)
      | main _ = (report ["usage: server HOST:PORT"]; OS.Process.failure)
end
