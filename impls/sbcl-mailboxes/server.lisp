;;;; Threads and mailboxes in Common Lisp: nothing but the mailboxes is shared by two threads.
;;;;
;;;; The idea: SBCL's mailboxes are lock-free queues that a thread can wait for. A mailbox has
;;;; no limit of its own, but anybody may look how much is in it, without a lock. Here only the
;;;; holder of the turn puts something into a mailbox, so what it sees can only become less, and
;;;; a look beforehand is a bound.
;;;;
;;;;     ATTEND -> HEAR -> POST -> mailbox of each client -> SAY
;;;;
;;;; How a message flows. Each client has a thread in HEAR and one in SAY. HEAR receives what the
;;;; client has sent and calls POST with the complete frames. POST takes the turn, a mutex, and
;;;; offers the frames to every client's mailbox, the sender's included: it is the sequencing
;;;; point. SAY takes what is in its mailbox and sends it with one call.
;;;;
;;;; What an error means is decided far from where it is signalled: HANDLER-CASE around a whole
;;;; conversation makes any of them its end, and around an accept a pause.
;;;;
;;;; Shortcut: the frames of one read are delivered, or dropped, together.

(require :sb-bsd-sockets)
(require :sb-concurrency)

(defpackage :server
  (:use :common-lisp :sb-bsd-sockets :sb-concurrency :sb-thread))
(in-package :server)

(defconstant +mailbox-count-max+ 64 "Queued for a client that reads slowly, in reads.")
(defconstant +read-bytes-max+ 4096 "The longest one of these, but for a partial frame.")
(defconstant +batch-bytes-max+ (* 64 1024) "Sent with one call, and one read more.")
(defconstant +frame-bytes-max+ (+ 1 255) "A length and a body.")
(defconstant +listen-backlog+ 1024 "Connections queued in the kernel.")
(defconstant +accept-pause-seconds+ 0.1 "When descriptors or threads have run out.")
(defconstant +threads-max+ 8000 "More would need more memory mappings than Linux grants a process.")
(defconstant +ipproto-ipv6+ 41)
(defconstant +ipv6-v6only+ 26)
(defconstant +ipproto-tcp+ 6)
(defconstant +tcp-quickack+ 12)

(deftype bytes () '(simple-array (unsigned-byte 8) (*)))

(defstruct client
  socket
  (mailbox (make-mailbox)))

(defvar *clients* '())
(defvar *turn* (make-mutex :name "turn") "Guards *CLIENTS*, and is the right to fill mailboxes.")

(defun fail (control &rest arguments)
  (format *error-output* "server: ~?~%" control arguments)
  (finish-output *error-output*)
  (sb-ext:exit :code 1 :abort t))

(defun set-option (socket level option)
  (sb-alien:with-alien ((on sb-alien:int 1))
    (sb-alien:alien-funcall
     (sb-alien:extern-alien "setsockopt" (function sb-alien:int sb-alien:int sb-alien:int
                                                   sb-alien:int (* sb-alien:int) sb-alien:int))
     (socket-file-descriptor socket) level option (sb-alien:addr on) 4)))

;;; From clients to mailboxes

(defun offer (client frames)
  (when (< (mailbox-count (client-mailbox client)) +mailbox-count-max+)
    (send-message (client-mailbox client) frames)))

(defun post (frames)
  "The sequencing point."
  (with-mutex (*turn*)
    (dolist (client *clients*)
      (offer client frames))))

(defun whole-frames (bytes end)
  "The length of the complete frames at the start of END bytes."
  (declare (type bytes bytes) (type fixnum end))
  (let ((whole 0))
    (declare (type fixnum whole))
    (loop while (and (< whole end) (< (+ whole (aref bytes whole)) end))
          do (incf whole (1+ (aref bytes whole))))
    whole))

(defun hear (client)
  "Posts the client's frames until its stream ends."
  (let ((received (make-array +read-bytes-max+ :element-type '(unsigned-byte 8)))
        (bytes (make-array (+ +frame-bytes-max+ +read-bytes-max+) :element-type '(unsigned-byte 8)))
        (end 0))
    (loop
      (let ((count (nth-value 1 (socket-receive (client-socket client) received nil))))
        (when (or (null count) (zerop count))
          (return))
        (replace bytes received :start1 end :end2 count)
        (incf end count))
      (let ((whole (whole-frames bytes end)))
        (if (plusp whole)
            (post (subseq bytes 0 whole))
            ;; Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            (set-option (client-socket client) +ipproto-tcp+ +tcp-quickack+))
        (replace bytes bytes :start2 whole :end2 end)
        (decf end whole)))))

;;; From mailboxes to clients

(defun say (client)
  "Sends what is in the client's mailbox, until :END is."
  (let ((stream (socket-make-stream (client-socket client) :output t :buffering :full
                                    :element-type '(unsigned-byte 8))))
    (loop for batch-bytes = 0
          for frames = (receive-message (client-mailbox client))
          until (eq frames :end)
          do (loop while (typep frames 'bytes)
                   do (write-sequence frames stream)
                      (incf batch-bytes (length frames))
                      (setf frames (and (< batch-bytes +batch-bytes-max+)
                                        (receive-message-no-hang (client-mailbox client)))))
             (finish-output stream)
          until (eq frames :end))))

(defun attend (client)
  (with-mutex (*turn*)
    (push client *clients*))
  (let ((saying (make-thread (lambda () (handler-case (say client) (error ()))))))
    (handler-case (hear client)
      (error ())) ; a reset is an end of the stream, too
    (with-mutex (*turn*)
      (setf *clients* (delete client *clients*))
      (send-message (client-mailbox client) :end)) ; whatever its mailbox holds
    (join-thread saying :default nil)
    (socket-close (client-socket client) :abort t)))

;;; The start

(defun listen-on (address)
  (let* ((colon (or (position #\: address :from-end t) (error "not HOST:PORT")))
         (host (string-trim "[]" (subseq address 0 colon)))
         (port (parse-integer address :start (1+ colon)))
         (ipv6 (find #\: host))
         (socket (make-instance (if ipv6 'inet6-socket 'inet-socket) :type :stream :protocol :tcp)))
    (unless (< -1 port 65536)
      (error "not a port"))
    (setf (sockopt-reuse-address socket) t)
    (when ipv6
      (set-option socket +ipproto-ipv6+ +ipv6-v6only+))
    (socket-bind socket (if ipv6 (make-inet6-address host) (make-inet-address host)) port)
    (socket-listen socket +listen-backlog+)
    socket))

(defun serve (listener)
  (loop with failing = nil
        do (handler-case
               (let* ((socket (socket-accept listener))
                      (client (make-client :socket socket)))
                 (when (<= +threads-max+ (length (list-all-threads)))
                   (socket-close socket :abort t)
                   (error "the limit of threads is reached"))
                 (setf (sockopt-tcp-nodelay socket) t
                       failing nil)
                 (make-thread #'attend :arguments (list client)))
             (error (problem)
               (unless failing
                 (format *error-output* "server: cannot accept a client: ~a~%" problem))
               (setf failing t)
               (sleep +accept-pause-seconds+)))))

(defun main (arguments)
  (unless (= 1 (length arguments))
    (fail "usage: server.lisp HOST:PORT"))
  ;; As programs do that are no interactive Lisp.
  (sb-sys:enable-interrupt sb-unix:sigterm :default)
  (sb-sys:enable-interrupt sb-unix:sigpipe :ignore)
  (let ((listener (handler-case (listen-on (first arguments))
                    (error (problem)
                      (fail "cannot listen on ~a: ~a" (first arguments) problem)))))
    (format t "listening on ~a~%" (first arguments))
    (finish-output)
    (serve listener)))

(main (rest sb-ext:*posix-argv*))
