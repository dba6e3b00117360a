(* __NAME__: two loops of promises per client, in one thread.

   How a message flows. A client's [read_frames] reads what its socket has, splits off the
   complete frames, and calls [broadcast], which appends them to every client's queue,
   including the sender's. There is one thread, and [broadcast] does not wait for a promise:
   this is the sequencing point. Each client's [write_frames] waits until its queue holds
   something, then for the end of this round of the event loop, and writes all of it. A
   queue is bounded; a client whose queue is full misses the frames. *)

open Lwt.Syntax

let queue_bytes_max = 64 * 1024 (* for one client; as much again may be under way *)
let read_bytes_max = 4 * 1024 (* from one client in one round *)
let listen_backlog = 1024
let accept_pause = 0.1 (* seconds, when descriptors have run out *)

type client = {
  socket : Lwt_unix.file_descr;
  queue : Buffer.t; (* complete frames *)
  news : unit Lwt_condition.t; (* the queue has grown, or the client has left *)
  mutable here : bool;
}

let clients : client list ref = ref []

(* A sender may wait for the acknowledgement of a frame's start before it sends the rest,
   and the kernel delays that by 40 ms unless told otherwise each time. *)
external acknowledge : Unix.file_descr -> unit = "server_acknowledge" [@@noalloc]

(* ---- The room ---- *)

let enter socket =
  let queue = Buffer.create 256 and news = Lwt_condition.create () in
  let client = { socket; queue; news; here = true } in
  clients := client :: !clients;
  client

let leave client =
  clients := List.filter (( != ) client) !clients;
  client.here <- false;
  Lwt_condition.signal client.news ()

(* The sequencing point. *)
let broadcast frames =
  let offer client =
    if Buffer.length client.queue + String.length frames <= queue_bytes_max
    then begin
      Buffer.add_string client.queue frames;
      Lwt_condition.signal client.news ()
    end
  in
  List.iter offer !clients

(* So short that a turn of every client fits into a queue. *)
let turn_bytes () =
  max 256 (min read_bytes_max (queue_bytes_max / List.length !clients))

(* ---- A client ---- *)

(* How many bytes at the start of the stream are complete frames. *)
let complete stream =
  let rec from start =
    if start = String.length stream then start
    else
      let next = start + 1 + Char.code stream.[start] in
      if next > String.length stream then start else from next
  in
  from 0

(* [partial] is the start of an incomplete frame. *)
let rec read_frames client buffer partial =
  let* length = Lwt_unix.read client.socket buffer 0 (turn_bytes ()) in
  if length = 0 then Lwt.return_unit
  else begin
    let stream = partial ^ Bytes.sub_string buffer 0 length in
    let whole = complete stream in
    if whole > 0 then broadcast (String.sub stream 0 whole)
    else acknowledge (Lwt_unix.unix_file_descr client.socket);
    let* () = Lwt.pause () in (* lets the others have their turn *)
    read_frames client buffer (String.sub stream whole (String.length stream - whole))
  end

let rec write socket bytes start =
  let rest = Bytes.length bytes - start in
  if rest = 0 then Lwt.return_unit
  else
    let* length = Lwt_unix.write socket bytes start rest in
    write socket bytes (start + length)

let rec write_frames client =
  if Buffer.length client.queue > 0 then begin
    let* () = Lwt.pause () in
    let frames = Buffer.to_bytes client.queue in
    Buffer.clear client.queue;
    let* () = write client.socket frames 0 in
    write_frames client
  end
  else if client.here then
    let* () = Lwt_condition.wait client.news in
    write_frames client
  else Lwt.return_unit

let serve socket =
  Lwt_unix.setsockopt socket Lwt_unix.TCP_NODELAY true;
  let client = enter socket in
  let written = write_frames client in
  let read_and_written =
    let* () = read_frames client (Bytes.create read_bytes_max) "" in
    leave client;
    written
  in
  Lwt.finalize
    (fun () -> Lwt.pick [ read_and_written; written ])
    (fun () ->
      leave client;
      Lwt_unix.close socket)

(* ---- The server ---- *)

(* The connection is broken, or descriptors have run out: neither is a reason to stop. *)
let survive promise handle =
  Lwt.catch promise (function
    | Unix.Unix_error (error, _, _) -> handle error
    | bug -> Lwt.fail bug)

let rec accept listener =
  let* () =
    survive
      (fun () ->
        let* socket, _ = Lwt_unix.accept ~cloexec:true listener in
        Lwt.async (fun () -> survive (fun () -> serve socket) (fun _ -> Lwt.return_unit));
        Lwt.pause ())
      (fun error ->
        prerr_endline ("server: cannot accept a client: " ^ Unix.error_message error);
        Lwt_unix.sleep accept_pause)
  in
  accept listener

let listen address =
  let domain = Unix.domain_of_sockaddr address in
  let socket = Lwt_unix.socket ~cloexec:true domain Unix.SOCK_STREAM 0 in
  Lwt_unix.setsockopt socket Lwt_unix.SO_REUSEADDR true;
  if domain = Unix.PF_INET6 then Lwt_unix.setsockopt socket Lwt_unix.IPV6_ONLY true;
  let* () = Lwt_unix.bind socket address in
  Lwt_unix.listen socket listen_backlog;
  Lwt.return socket

(* IPv6 addresses are in brackets. *)
let parse address =
  let colon = String.rindex address ':' in
  let host = String.sub address 0 colon in
  let port = String.sub address (colon + 1) (String.length address - colon - 1) in
  let port = int_of_string ("0u" ^ port) (* unsigned and decimal *) in
  let brackets = String.length host > 2 && host.[0] = '[' in
  let host = if brackets then String.sub host 1 (String.length host - 2) else host in
  let ip = Unix.inet_addr_of_string host in
  if port > 65535 || Unix.is_inet6_addr ip <> brackets then failwith address;
  Unix.ADDR_INET (ip, port)

let fail reason =
  prerr_endline ("server: error: " ^ reason);
  exit 1

let () =
  Sys.set_signal Sys.sigpipe Sys.Signal_ignore;
  let argument = if Array.length Sys.argv = 2 then Sys.argv.(1) else "" in
  match Lwt_main.run (listen (parse argument)) with
  | listener ->
      print_endline ("listening on " ^ argument);
      Lwt_main.run (accept listener)
  | exception (Not_found | Failure _) -> fail "expected one argument, HOST:PORT"
  | exception Unix.Unix_error (error, _, _) ->
      fail ("cannot listen on " ^ argument ^ ": " ^ Unix.error_message error)
