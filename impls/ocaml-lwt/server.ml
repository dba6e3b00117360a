(* Promises: a value stands for a result that is still to come, and larger promises are
   made of smaller ones. [let*] reads "when this is there, go on".

   How a message flows. [hear] promises the end of what a client sends. On the way it
   splits off complete frames and hands them to [post], which appends them to every
   client's backlog. There is one thread, and [post] does not wait for a promise: it is the
   sequencing point. [speak] promises the end of what a client is sent: it waits for news,
   then for the end of this round of the event loop, and writes all that has gathered.

   A client's life is the promise made of these two in [serve]: it ends when both have
   ended or one has failed, and then the other one is cancelled.

   A read of data that have arrived already is a promise that is resolved already, and
   [let*] goes on at once. So [hear] pauses after each read, or a client that floods the
   server would keep all others waiting.

   Shortcut: the frames of one read are delivered, or missed, together. *)

open Lwt.Syntax

let backlog_bytes_max = 64 * 1024 (* for one client; as much again may be under way *)
let read_bytes_max = 4 * 1024 (* from one client in one round *)
let listen_backlog = 1024
let accept_pause = 0.1 (* seconds, when descriptors have run out *)

type client = {
  socket : Lwt_unix.file_descr;
  backlog : Buffer.t; (* complete frames *)
  news : unit Lwt_condition.t; (* the backlog has grown, or the client has left *)
  mutable here : bool;
}

let clients : client list ref = ref []

external quickack : Unix.file_descr -> unit = "chat_quickack" [@@noalloc]

(* ---- The room ---- *)

let enter socket =
  let backlog = Buffer.create 256 and news = Lwt_condition.create () in
  let client = { socket; backlog; news; here = true } in
  clients := client :: !clients;
  client

let leave client =
  clients := List.filter (( != ) client) !clients;
  client.here <- false;
  Lwt_condition.signal client.news ()

(* The sequencing point. *)
let post frames =
  let offer client =
    if Buffer.length client.backlog + String.length frames <= backlog_bytes_max
    then begin
      Buffer.add_string client.backlog frames;
      Lwt_condition.signal client.news ()
    end
  in
  List.iter offer !clients

(* A turn of every client fits into a backlog. *)
let turn_bytes () =
  max 256 (min read_bytes_max (backlog_bytes_max / List.length !clients))

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
let rec hear client buffer partial =
  let* length = Lwt_unix.read client.socket buffer 0 (turn_bytes ()) in
  if length = 0 then Lwt.return_unit
  else begin
    let stream = partial ^ Bytes.sub_string buffer 0 length in
    let whole = complete stream in
    if whole > 0 then post (String.sub stream 0 whole)
    else
      (* Acknowledge at once: Nagle's algorithm may hold the rest back until then. *)
      quickack (Lwt_unix.unix_file_descr client.socket);
    let* () = Lwt.pause () in
    hear client buffer (String.sub stream whole (String.length stream - whole))
  end

let rec write socket bytes start =
  let rest = Bytes.length bytes - start in
  if rest = 0 then Lwt.return_unit
  else
    let* length = Lwt_unix.write socket bytes start rest in
    write socket bytes (start + length)

let rec speak client =
  if Buffer.length client.backlog > 0 then begin
    let* () = Lwt.pause () in
    let frames = Buffer.to_bytes client.backlog in
    Buffer.clear client.backlog;
    let* () = write client.socket frames 0 in
    speak client
  end
  else if client.here then
    let* () = Lwt_condition.wait client.news in
    speak client
  else Lwt.return_unit

let serve socket =
  Lwt_unix.setsockopt socket Lwt_unix.TCP_NODELAY true;
  let client = enter socket in
  let spoken = speak client in
  let heard_and_spoken =
    let* () = hear client (Bytes.create read_bytes_max) "" in
    leave client;
    spoken
  in
  Lwt.finalize
    (fun () -> Lwt.pick [ heard_and_spoken; spoken ])
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

let show = function
  | Unix.ADDR_UNIX path -> path
  | Unix.ADDR_INET (ip, port) ->
      let host = Unix.string_of_inet_addr ip in
      Printf.sprintf (if Unix.is_inet6_addr ip then "[%s]:%d" else "%s:%d") host port

let fail reason =
  prerr_endline ("server: " ^ reason);
  exit 1

let () =
  Sys.set_signal Sys.sigpipe Sys.Signal_ignore;
  let address =
    match parse Sys.argv.(1) with
    | address when Array.length Sys.argv = 2 -> address
    | _ | (exception (Invalid_argument _ | Not_found | Failure _)) ->
        fail "expected one argument, HOST:PORT"
  in
  match Lwt_main.run (listen address) with
  | listener ->
      print_endline ("listening on " ^ show (Lwt_unix.getsockname listener));
      Lwt_main.run (accept listener)
  | exception Unix.Unix_error (error, _, _) ->
      fail ("cannot listen on " ^ show address ^ ": " ^ Unix.error_message error)
