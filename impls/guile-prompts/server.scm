;;; Effect handlers: the code of a client says what it needs to happen, and a handler around
;;; it decides how.
;;;
;;; abort-to-prompt performs an effect. It captures the rest of the computation up to the
;;; handler's prompt, a delimited continuation, and the handler (handle) keeps that and calls it
;;; when the effect has happened. Guile's ports join in: where they would block, they call a
;;; waiter, and ours performs an effect. So the code of a client reads as if it blocked, and the
;;; scheduler is a part of this program (run).
;;;
;;; How a message flows. A client's reader (hear) reads what has arrived, splits off the complete
;;; frames, and appends them to every client's backlog (post). Nothing else runs until it
;;; performs an effect: this is the sequencing point. The client's writer (speak) performs 'news
;;; to wait for a backlog, then 'yield, so that this round's messages gather, and writes them.
;;;
;;; Shortcuts: the frames of one read are delivered, or missed, together. poll looks at every
;;; waiting socket in each round.

(define-module (server)
  #:use-module (ice-9 binary-ports)
  #:use-module (ice-9 match)
  #:use-module (ice-9 poll)
  #:use-module (ice-9 q)
  #:use-module (ice-9 regex)
  #:use-module (ice-9 suspendable-ports)
  #:use-module ((scheme base) #:select (bytevector-append bytevector-copy
                                        bytevector-length bytevector-u8-ref))
  #:use-module (srfi srfi-9)
  #:export (main))

(define backlog-bytes (* 64 1024))      ; for one client; as much again may be being written
(define read-bytes (* 4 1024))          ; from one client in one round
(define listen-backlog 1024)            ; connections queued in the kernel
(define accept-pause 0.1)               ; seconds, when descriptors have run out
(define TCP_QUICKACK 12)                ; as Linux numbers them
(define IPPROTO_IPV6 41)
(define IPV6_V6ONLY 26)

(define (main arguments)
  (match arguments
    ((_ (= parse (family ip port)))
     (let ((listener (catch 'system-error
                       (lambda () (listen-on family ip port))
                       (lambda failure (fail (reason failure))))))
       (sigaction SIGPIPE SIG_IGN)
       (install-suspendable-ports!)
       (current-read-waiter (lambda (port) (perform 'await port POLLIN)))
       (current-write-waiter (lambda (port) (perform 'await port POLLOUT)))
       (handle (lambda () (accept-clients listener)))
       (run)))
    (_ (fail "expected one argument, HOST:PORT"))))

(define-record-type client
  (make-client socket backlog size waiting here?)
  client?
  (socket client-socket)
  (backlog client-backlog set-client-backlog!)  ; complete frames, newest first
  (size client-size set-client-size!)           ; bytes in it
  (waiting client-waiting set-client-waiting!)  ; what runs when there is news
  (here? client-here? set-client-here!))

;;; Effects, and their handler.

(define effect-tag (make-prompt-tag 'effect))

(define (perform . effect)
  (abort-to-prompt effect-tag effect))

;; Runs the thunk until it performs an effect, and keeps the rest of it for later.
(define (handle thunk)
  (call-with-prompt effect-tag thunk
    (lambda (rest effect)
      (define (resume) (handle rest))
      (match effect
        (('fork thunk) (enq! ready (lambda () (handle thunk))) (resume))
        (('yield) (enq! ready resume))
        (('news client) (set-client-waiting! client resume))
        (('pause seconds) (set! alarm (cons (+ (now) seconds) resume)))
        (('await port events)
         ;; The descriptor: a port with room in its buffer would count as ready to write.
         (poll-set-add! polled (fileno port) events)
         (hashv-set! waiting (waiting-key (fileno port) events) resume))))))

(define ready (make-q))                 ; what runs in the next round
(define alarm #f)                       ; a time, and what runs then; only one pauses
(define polled (make-empty-poll-set))
(define waiting (make-hash-table))      ; what runs when a socket is ready

(define (waiting-key descriptor events)
  (+ (* 2 descriptor) (if (= events POLLIN) 0 1)))

(define (now)
  (/ (get-internal-real-time) 1.0 internal-time-units-per-second))

;; The scheduler: in each round everything runs that is ready.
(define (run)
  (do ((count (q-length ready) (1- count))) ((zero? count)) ((deq! ready)))
  (poll polled (cond ((not (q-empty? ready)) 0)
                     (alarm (max 0 (inexact->exact (ceiling (* 1000 (- (car alarm) (now)))))))
                     (else -1)))
  (do ((i (1- (poll-set-nfds polled)) (1- i))) ((negative? i))
    (unless (zero? (poll-set-revents polled i))
      (let* ((events (poll-set-events polled i))
             (key (waiting-key (poll-set-remove! polled i) events)))
        (enq! ready (hashv-ref waiting key))
        (hashv-remove! waiting key))))
  (when (and alarm (<= (car alarm) (now)))
    (enq! ready (cdr alarm))
    (set! alarm #f))
  (run))

;;; The room.

(define clients '())

(define (enter socket)
  (let ((client (make-client socket '() 0 #f #t)))
    (set! clients (cons client clients))
    client))

(define (leave client)
  (set! clients (delq client clients))
  (set-client-here! client #f)
  (wake client))

(define (wake client)
  (when (client-waiting client)
    (enq! ready (client-waiting client))
    (set-client-waiting! client #f)))

;; The sequencing point.
(define (post frames)
  (define (offer client)
    (let ((size (+ (client-size client) (bytevector-length frames))))
      (when (<= size backlog-bytes)
        (set-client-backlog! client (cons frames (client-backlog client)))
        (set-client-size! client size)
        (wake client))))
  (for-each offer clients))

(define (take-backlog client)
  (let ((frames (apply bytevector-append (reverse (client-backlog client)))))
    (set-client-backlog! client '())
    (set-client-size! client 0)
    frames))

;;; A client.

;; Runs the thunk; if the connection breaks, that is its end.
(define (until-broken thunk)
  (catch 'system-error thunk (const #f)))

(define (serve socket)
  (let ((client (enter socket)))
    (perform 'fork (lambda () (speak client)))
    (until-broken (lambda () (hear client)))
    (leave client)))

(define (hear client)
  (define socket (client-socket client))
  (let next ((partial (bytevector-append)))
    (let ((bytes (get-bytevector-some socket)))
      (unless (eof-object? bytes)
        (let* ((stream (bytevector-append partial bytes))
               (end (complete stream)))
          (if (positive? end)
              (post (bytevector-copy stream 0 end))
              ;; Acknowledge at once: Nagle's algorithm may hold the rest back until then.
              (setsockopt socket IPPROTO_TCP TCP_QUICKACK 1))
          (perform 'yield)
          (next (bytevector-copy stream end)))))))

;; How many bytes at the start of the stream are complete frames.
(define (complete stream)
  (let next ((start 0))
    (let ((end (and (< start (bytevector-length stream))
                    (+ start 1 (bytevector-u8-ref stream start)))))
      (if (and end (<= end (bytevector-length stream)))
          (next end)
          start))))

;; Until the client has left and all is written; after a failure it writes nothing more.
(define (speak client)
  (define socket (client-socket client))
  (define broken? #f)
  (let next ()
    (when (and (client-here? client) (zero? (client-size client)))
      (perform 'news client))
    (perform 'yield)
    (let ((here? (client-here? client))
          (frames (take-backlog client)))
      (unless broken?
        (set! broken? (not (until-broken (lambda ()
                                           (put-bytevector socket frames)
                                           (force-output socket)
                                           #t)))))
      (if (or here? (positive? (client-size client)))
          (next)
          (close-port socket)))))

;;; The listener.

(define (accept-clients listener)
  (catch 'system-error
    (lambda ()
      (match (accept listener SOCK_NONBLOCK)
        (#f (perform 'await listener POLLIN))
        ((socket . _)
         (setsockopt socket IPPROTO_TCP TCP_NODELAY 1)
         (setvbuf socket 'block read-bytes)
         (perform 'fork (lambda () (serve socket))))))
    (lambda failure
      (format (current-error-port) "server: cannot accept a client: ~a~%" (reason failure))
      (perform 'pause accept-pause)))
  (accept-clients listener))

(define (listen-on family ip port)
  (let ((listener (socket family SOCK_STREAM 0)))
    (setsockopt listener SOL_SOCKET SO_REUSEADDR 1)
    (when (= family AF_INET6)
      (setsockopt listener IPPROTO_IPV6 IPV6_V6ONLY 1))
    (bind listener family ip port)
    (listen listener listen-backlog)
    (fcntl listener F_SETFL (logior O_NONBLOCK (fcntl listener F_GETFL)))
    (let ((host (inet-ntop family ip)))
      (format #t "listening on ~a:~a~%"
              (if (= family AF_INET6) (string-append "[" host "]") host)
              (sockaddr:port (getsockname listener))))
    (force-output)
    listener))

;; The address family, IP address and port, or #f.
(define (parse address)
  (define parts (string-match "^(\\[(.+)\\]|([^:]+)):([0-9]{1,5})$" address))
  (and parts
       (let* ((ip6 (match:substring parts 2))
              (family (if ip6 AF_INET6 AF_INET))
              (ip (false-if-exception (inet-pton family (or ip6 (match:substring parts 3)))))
              (port (string->number (match:substring parts 4))))
         (and ip (< port 65536) (list family ip port)))))

(define (reason failure)
  (strerror (system-error-errno failure)))

(define (fail reason)
  (format (current-error-port) "server: ~a~%" reason)
  (exit 1))
