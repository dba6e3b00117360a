(* A queue with a limit, as an abstraction of events.
 *
 * CML has channels, which hold nothing, and mailboxes, which hold anything. A queue that misses
 * what it has no room for is neither. It is a thread of its own, and who uses it sees two
 * functions that return events: these can be synchronised on, or become a part of a choice, like
 * those that are built in.
 *)

signature OUTBOX =
sig
    type outbox

    val bytesMax : int                                     (* what one holds at most *)
    val outbox : unit -> outbox
    val put : outbox * Word8Vector.vector -> unit CML.event (* ready at once, full or not *)
    val close : outbox -> unit CML.event                    (* nothing is put after this *)
    val take : outbox -> Word8Vector.vector CML.event       (* all of it; empty: it was closed *)
end

structure Outbox : OUTBOX =
struct
    open CML

    datatype outbox = Outbox of {
        puts : Word8Vector.vector chan, closes : unit chan, takes : Word8Vector.vector list chan
    }

    val bytesMax = 64 * 1024

    (* What is held is listed newest first. *)
    fun holding (Outbox { puts, closes, takes }) =
        let
            fun run (held, bytes) =
                select [wrap (recvEvt puts, fn frames => run (add (held, bytes, frames))),
                        wrap (recvEvt closes, fn () => finish held),
                        wrap (offer held, fn () => run ([], 0))]
            and finish [] = send (takes, [])
              | finish held = (send (takes, held); finish [])
            and offer [] = never
              | offer held = sendEvt (takes, held)
            and add (held, bytes, frames) =
                let val more = bytes + Word8Vector.length frames
                in if more > bytesMax then (held, bytes) else (frames :: held, more)
                end
        in run ([], 0)
        end

    fun outbox () =
        let val new = Outbox { puts = channel (), closes = channel (), takes = channel () }
        in ignore (spawn (fn () => holding new)); new
        end

    fun put (Outbox { puts, ... }, frames) = sendEvt (puts, frames)
    fun close (Outbox { closes, ... }) = sendEvt (closes, ())
    fun take (Outbox { takes, ... }) = wrap (recvEvt takes, Word8Vector.concat o rev)
end
