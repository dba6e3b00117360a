#lang racket/base

;; Synchronous events: what a thread waits for is a value, put together before it waits.
;;
;; Every function here whose name ends in -evt only describes a wait and what follows it.
;; choice-evt makes one event of several, and sync waits for whichever is ready first. So a
;; client needs one thread, although it waits for three things at once (client-evt).
;;
;; How a message flows. A client's thread reads complete frames (hear) and offers them to
;; the hub on a channel (input-evt). The hub takes them from one client at a time: this is
;; the sequencing point. It hands them to every client's outbox (delivery-evt); the client
;; queues them (take) and writes as much as its socket accepts (output-evt).
;;
;; Channels hold nothing: both sides must be willing. With blocking calls, hub and client
;; would wait for each other forever, each to hand something over. Here the client offers
;; its frames and is willing to take others in the same choice, so it is never unwilling for
;; long, whatever its socket does, and the hub needs no queue.
;;
;; Shortcut: the frames of one read are delivered, or missed, together.

(require racket/match
         racket/tcp
         ffi/unsafe
         ffi/unsafe/port)

(define queue-bytes (* 64 1024)) ; not yet written to one client
(define read-bytes (* 4 1024))   ; per read
(define backlog 1024)            ; connections queued in the kernel
(define accept-pause 0.1)        ; seconds, when descriptors have run out

(define (main arguments)
  (define listener (listen arguments))
  (thread (λ () (hub '())))
  (let accept ()
    (with-handlers ([exn:fail:network? report])
      (define-values (in out) (tcp-accept listener))
      (thread (λ () (serve in out))))
    (accept)))

(define (listen arguments)
  (match arguments
    [(vector (pregexp #px"^(?:\\[(.+)\\]|([^:]+)):(\\d{1,5})$"
                      (list _ ip6 ip4 (app string->number port))))
     #:when (< port 65536)
     (with-handlers ([exn:fail:network? (λ (failure) (raise-user-error 'server (reason failure)))])
       (define listener (tcp-listen port backlog #t (or ip6 ip4)))
       (define-values (ip bound _peer-ip _peer-port) (tcp-addresses listener #t))
       (printf (if ip6 "listening on [~a]:~a\n" "listening on ~a:~a\n") ip bound)
       (flush-output)
       listener)]
    [_ (raise-user-error 'server "expected one argument, HOST:PORT")]))

;; The last line of an exception's message, which is what the system says.
(define (reason failure)
  (cadr (regexp-match #rx": ([^\n]*)$" (exn-message failure))))

(define (report failure)
  (eprintf "server: cannot accept a client: ~a\n" (reason failure))
  (sleep accept-pause))

;; ---- The hub ----

(define joins (make-channel))
(define says (make-channel))
(define leaves (make-channel))

(struct guest (outbox thread)) ; a client, as the hub knows it

(define (hub guests)
  (hub (sync (handle-evt joins (λ (guest) (cons guest guests)))
             (handle-evt leaves (λ (guest) (remq guest guests)))
             (handle-evt says (λ (frames)
                                (for/list ([guest guests]
                                           #:when (sync (delivery-evt guest frames)))
                                  guest))))))

;; A guest is willing soon, unless its thread has died: then it is a guest no more.
(define (delivery-evt guest frames)
  (choice-evt (wrap-evt (channel-put-evt (guest-outbox guest) frames) (λ (_) #t))
              (wrap-evt (thread-dead-evt (guest-thread guest)) (λ (_) #f))))

;; ---- A client ----

(struct client
  (stage    ; 'hear, or frames to be said, or 'leave, or 'left
   partial  ; the start of an incomplete frame
   writing  ; being written,
   written  ; of which so many bytes are
   queue    ; to be written next, newest first
   unsent)) ; bytes in writing and queue that are not yet written

;; Each event of a client results in its next state.
(define (serve in out)
  (define self (guest (make-channel) (current-thread)))
  (define buffer (make-bytes read-bytes))
  (file-stream-buffer-mode out 'none) ; ready when the socket is, and not the buffer
  (set-option out TCP_NODELAY)

  (define (client-evt c)
    (choice-evt (input-evt c)
                (output-evt c)
                (handle-evt (guest-outbox self) (λ (frames) (take c frames)))))

  ;; Reads, says what it has read, and only then reads on.
  (define (input-evt c)
    (define stage (client-stage c))
    (cond
      [(eq? stage 'hear) (handle-evt in (λ (_) (hear c)))]
      [(bytes? stage)
       (handle-evt (channel-put-evt says stage) (λ (_) (struct-copy client c [stage 'hear])))]
      [(eq? stage 'leave)
       (handle-evt (channel-put-evt leaves self) (λ (_) (struct-copy client c [stage 'left])))]
      [else never-evt]))

  ;; write-bytes-avail-evt would do, but in Racket 8.7 it fails when a socket is full.
  (define (output-evt c)
    (if (zero? (client-unsent c))
        never-evt
        (handle-evt out (λ (_) (wrote c (write-bytes-avail* (client-writing c)
                                                            out
                                                            (client-written c)))))))

  (define (hear c)
    (define count (read-bytes-avail!* buffer in))
    (cond
      [(eof-object? count) (struct-copy client c [stage 'leave])]
      [else
       (define stream (bytes-append (client-partial c) (subbytes buffer 0 count)))
       (define end (complete stream))
       (define frames (if (zero? end) 'hear (subbytes stream 0 end)))
       ;; Acknowledge at once: Nagle's algorithm may hold the rest back until then.
       (when (zero? end) (set-option in TCP_QUICKACK))
       (struct-copy client c [stage frames] [partial (subbytes stream end)])]))

  (channel-put joins self)
  (let live ([c (client 'hear #"" #"" 0 '() 0)])
    (unless (and (eq? (client-stage c) 'left) (zero? (client-unsent c)))
      (live (with-handlers ([exn:fail:network? (λ (_) (lost c))])
              (sync (client-evt c))))))
  (close-input-port in)
  (close-output-port out))

;; Queues the frames if there is room.
(define (take c frames)
  (define unsent (+ (client-unsent c) (bytes-length frames)))
  (cond
    [(> unsent queue-bytes) c]
    [(zero? (client-unsent c)) (struct-copy client c [writing frames] [written 0] [unsent unsent])]
    [else (struct-copy client c [queue (cons frames (client-queue c))] [unsent unsent])]))

;; Everything that has been queued meanwhile is written next, at once.
(define (wrote c count)
  (define written (+ (client-written c) count))
  (define unsent (- (client-unsent c) count))
  (if (= written (bytes-length (client-writing c)))
      (struct-copy client c
                   [writing (apply bytes-append (reverse (client-queue c)))]
                   [written 0]
                   [queue '()]
                   [unsent unsent])
      (struct-copy client c [written written] [unsent unsent])))

;; The connection is broken: nothing more is read or written.
(define (lost c)
  (define stage (if (eq? (client-stage c) 'left) 'left 'leave))
  (client stage #"" #"" 0 '() 0))

;; How many bytes at the start of the stream are complete frames.
(define (complete stream)
  (let next ([start 0])
    (define end (and (< start (bytes-length stream)) (+ start 1 (bytes-ref stream start))))
    (if (and end (<= end (bytes-length stream))) (next end) start)))

;; ---- The system's interface has two options that Racket's has not ----

(define TCP_NODELAY 1) ; as Linux numbers them
(define TCP_QUICKACK 12)
(define IPPROTO_TCP 6)

(define (set-option port option)
  (void (setsockopt (unsafe-port->file-descriptor port) IPPROTO_TCP option 1)))

(define setsockopt
  (get-ffi-obj "setsockopt" #f
               (_fun _int _int _int (_ptr i _int) (_int = (ctype-sizeof _int)) -> _int)))

(module+ main
  (with-handlers ([exn:break? void]) ; SIGTERM, SIGINT: the end of this thread is the end
    (main (current-command-line-arguments))))
