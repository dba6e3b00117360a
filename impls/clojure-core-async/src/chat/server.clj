;; CSP as a library: go blocks are processes, channels connect them, and a multiple copies
;; what enters the room to every client.
;;
;; Each client has a process that hears what it sends and one that speaks to it.
;;
;;     hear --> room --> mult --> inbox of each client --> speak
;;
;; How a message flows. hear receives from the client and puts a portion (the complete frames
;; of one read) into the room, an unbuffered channel. The mult takes one portion at a time
;; from it, puts that into every inbox, and only then takes the next: this is the sequencing
;; point. What happens when a client is too slow is a value: its inbox has a sliding buffer,
;; which loses its oldest portion when it is full. So a put into an inbox never waits, and
;; neither does the mult. speak writes everything in the inbox with one call.
;;
;; A go block is compiled into a state machine. Where it waits for a channel, it gives its
;; thread back; so it must not block, and sockets are asynchronous channels of the JDK, whose
;; callbacks put the result into a channel.
;;
;; When a stream ends, hear takes its client's inbox off the mult and closes it. speak sends
;; the rest of it and closes the connection. After a reset both fail.
;;
;; As usual in Clojure, the program is to be read from its end, -main.
;;
;; Shortcuts: portions are shared between all inboxes and left to the garbage collector.
(ns chat.server
  (:require [clojure.core.async :refer [<! <!! >! chan close! go-loop mult poll! put! sliding-buffer tap timeout untap]])
  (:import (java.io IOException)
           (java.net InetAddress InetSocketAddress StandardSocketOptions URI)
           (java.nio ByteBuffer)
           (java.nio.channels AsynchronousServerSocketChannel AsynchronousSocketChannel CompletionHandler)
           (java.util.concurrent TimeUnit)
           (jdk.net ExtendedSocketOptions))
  (:gen-class))

(set! *warn-on-reflection* true)

(def inbox-portions "for a client that reads slowly" 64)
(def portion-bytes-max "per read" 2048)
(def listen-backlog "connections that wait in the kernel" 1024)
(def accept-retry-ms "pause after a failed accept" 50)
(def silence "a portion without frames" (byte-array 0))

;; The JDK's callbacks, as channels with one result.

(defn- accept
  "Yields a client, or what went wrong."
  [^AsynchronousServerSocketChannel listener]
  (let [result (chan 1)]
    (.accept listener nil
             (reify CompletionHandler
               (completed [_ client _] (put! result client))
               (failed [_ problem _] (put! result problem))))
    result))

(defn- read-some
  "Yields the number of bytes, -1 at the end of the stream or after a reset."
  [^AsynchronousSocketChannel client ^ByteBuffer buffer]
  (let [result (chan 1)]
    (.read client buffer nil
           (reify CompletionHandler
             (completed [_ length _] (put! result length))
             (failed [_ _ _] (put! result -1))))
    result))

(defn- write-all
  "Yields whether everything has been written."
  [^AsynchronousSocketChannel client ^"[Ljava.nio.ByteBuffer;" buffers]
  (let [result (chan 1)
        write #(.write client buffers 0 (alength buffers) 0 TimeUnit/SECONDS nil %)]
    (write (reify CompletionHandler
             (completed [this _ _]
               (if (.hasRemaining ^ByteBuffer (aget buffers (dec (alength buffers))))
                 (write this)
                 (put! result true)))
             (failed [_ _ _] (put! result false))))
    result))

(defn- enable [^AsynchronousSocketChannel client option]
  (try
    (.setOption client option true)
    (catch IOException _))) ; the connection is broken, and the next read fails

(defn- take-frames
  "Takes the complete frames out of what has been received. A frame is a length byte and a body."
  ^bytes [^ByteBuffer received]
  (.flip received)
  (let [limit (.limit received)
        end (loop [end 0]
              (let [next (when (< end limit)
                           (+ end 1 (Byte/toUnsignedInt (.get received (int end)))))]
                (if (and next (<= next limit))
                  (recur (long next))
                  end)))
        portion (byte-array end)]
    (.compact (.get received portion))
    portion))

(defn- hear
  "Ends with the client's stream, and discards an incomplete last frame."
  [client room leave]
  (let [received (ByteBuffer/allocate portion-bytes-max)]
    (go-loop []
      (if (neg? (<! (read-some client received)))
        (do
          (>! room silence) ; is taken when the client's last portion is in all inboxes
          (leave))
        (let [portion (take-frames received)]
          (if (seq portion)
            (>! room portion)
            ;; Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            (enable client ExtendedSocketOptions/TCP_QUICKACK))
          (recur))))))

(defn- gather [portion inbox]
  (->> (cons portion (take-while some? (repeatedly #(poll! inbox))))
       (map #(ByteBuffer/wrap %))
       (into-array ByteBuffer)))

(defn- speak
  "Ends when the inbox is closed and all of it is sent, or when the client has disconnected."
  [^AsynchronousSocketChannel client inbox]
  (go-loop []
    (let [portion (<! inbox)]
      (if (and portion (<! (write-all client (gather portion inbox))))
        (recur)
        (.close client)))))

(defn- attend [client room everyone]
  (enable client StandardSocketOptions/TCP_NODELAY)
  (let [inbox (chan (sliding-buffer inbox-portions) (filter seq))]
    (tap everyone inbox)
    (hear client room #(do (untap everyone inbox) (close! inbox)))
    (speak client inbox)))

(defn- serve [listener]
  (let [room (chan)
        everyone (mult room)]
    (loop []
      (let [client (<!! (accept listener))]
        (if (instance? Throwable client)
          (do ; descriptors have probably run out; some will be freed
            (binding [*out* *err*]
              (println (str "server: cannot accept a client: " (ex-message client))))
            (<!! (timeout accept-retry-ms)))
          (attend client room everyone))
        (recur)))))

(defn- address
  "The address HOST:PORT; an IPv6 host stands in brackets, as in a URI."
  ^InetSocketAddress [arguments]
  (when (not= 1 (count arguments))
    (throw (ex-info "usage: server HOST:PORT" {})))
  (let [uri (URI/create (str "tcp://" (first arguments)))]
    (when (not= (first arguments) (str (.getHost uri) ":" (.getPort uri)))
      (throw (ex-info (str "invalid address " (pr-str (first arguments)) ": expected HOST:PORT") {})))
    ;; Asynchronous channels have no choice of family: else 0.0.0.0 would be IPv6, too.
    (System/setProperty "java.net.preferIPv4Stack" (str (not (.startsWith (.getHost uri) "["))))
    (InetSocketAddress. (InetAddress/getByName (.getHost uri)) (.getPort uri))))

(defn -main [& arguments]
  (try
    (let [address (address arguments)
          listener (.bind (AsynchronousServerSocketChannel/open) address listen-backlog)]
      (println (str "listening on " (first arguments)))
      (serve listener))
    (catch Exception problem
      (binding [*out* *err*]
        (println (str "server: " (ex-message problem))))
      (System/exit 1))))
