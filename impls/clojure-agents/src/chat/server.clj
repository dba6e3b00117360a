;; Agents: state that stands still, and to which others send functions.
;;
;; The idea: an actor takes messages and decides what they mean; an agent takes functions and only
;; applies them, one at a time, in the order in which they were sent. Its state is an ordinary value
;; that anybody may read. A function that computes is sent with `send` and runs on as many threads
;; as there are cores; one that may block is sent with `send-off` and gets a thread of its own.
;;
;;     hear -- send post --> room == send-off speak ==> mouth of each client --> socket
;;
;; How a message flows. hear, a thread per client, receives, and sends the room, an agent whose
;; state is the set of clients, a portion (the complete frames of one read) with the function
;; post. The order in which the room applies it is the order of messages: the room is the
;; sequencing point. post sends each client's mouth, an agent whose state is its output stream,
;; the function speak, which writes. What is sent while a function runs is held back until that
;; has succeeded.
;;
;; Agents have no bounds, so two are added. hear awaits the room before it reads again. And a
;; client for which too many portions are pending misses the next: only the room adds to that
;; number, so it may look first and then decide.
;;
;; When a stream ends, hear sends the room leave, and that sends the mouth its last function.
;;
;; As usual in Clojure, the program is to be read from its end, -main.
;;
;; Shortcuts: portions are shared between all mouths and left to the garbage collector.
(ns chat.server
  (:import (java.io BufferedOutputStream IOException OutputStream)
           (java.net Inet4Address InetAddress InetSocketAddress Socket StandardProtocolFamily URI)
           (java.nio.channels ServerSocketChannel)
           (java.util Arrays)
           (java.util.concurrent.atomic AtomicInteger)
           (jdk.net ExtendedSocketOptions))
  (:gen-class))

(set! *warn-on-reflection* true)

(def pending-portions-max "for a client that reads slowly" 64)
(def portion-bytes-max "per read" 4096)
(def write-bytes-max "gathered for one call" (* 16 1024))
(def listen-backlog "connections that wait in the kernel" 1024)
(def accept-retry-ms "pause after a failed accept" 50)

;; What is sent to a mouth. Its state is the output stream, or nil after a reset.

(defn- speak
  "Writes a portion, and flushes if no other is pending."
  [^OutputStream output ^bytes portion ^AtomicInteger pending]
  (let [left (.decrementAndGet pending)]
    (try
      (when output
        (.write output portion)
        (when (zero? left)
          (.flush output)))
      output
      (catch IOException _))))

(defn- hang-up [^OutputStream output ^Socket socket]
  (try
    (when output
      (.flush output))
    (catch IOException _)
    (finally
      (.close socket))))

;; What is sent to the room. Its state is the set of clients.

(defn- offer
  "If too much is pending, this client misses the portion."
  [{:keys [^AtomicInteger pending mouth]} portion]
  (when (< (.get pending) pending-portions-max)
    (.incrementAndGet pending)
    (send-off mouth speak portion pending)))

(defn- post [clients portion]
  (run! #(offer % portion) clients)
  clients)

(defn- leave [clients client]
  (send-off (:mouth client) hang-up (:socket client))
  (disj clients client))

(defn- end-of-frames
  "The length of the complete frames at the start. A frame is a length byte and a body."
  [^bytes buffer length]
  (loop [end 0]
    (let [next (when (< end length)
                 (+ end 1 (Byte/toUnsignedInt (aget buffer end))))]
      (if (and next (<= next length))
        (recur (long next))
        end))))

(defn- read-portions
  "Returns at the end of the stream, and discards an incomplete last frame."
  [^Socket socket room]
  (.setTcpNoDelay socket true)
  (let [input (.getInputStream socket)
        buffer (byte-array portion-bytes-max)]
    (loop [held 0]
      (let [received (.read input buffer held (- portion-bytes-max held))]
        (when (pos? received)
          (let [length (+ held received)
                end (long (end-of-frames buffer length))]
            (if (pos? end)
              (do
                (send room post (Arrays/copyOf buffer end))
                (await room)) ; one portion per client is before the room, and no more
              ;; Acknowledge at once: Nagle's algorithm may hold the rest back until then.
              (.setOption socket ExtendedSocketOptions/TCP_QUICKACK true))
            (System/arraycopy buffer end buffer 0 (- length end))
            (recur (- length end))))))))

(defn- hear [client room]
  (try
    (read-portions (:socket client) room)
    (catch IOException _)) ; a reset: the stream ends here
  (send room leave client))

(defn- attend [^Socket socket room]
  (let [output (BufferedOutputStream. (.getOutputStream socket) write-bytes-max)
        client {:socket socket :pending (AtomicInteger.) :mouth (agent output)}]
    (send room conj client)
    (future (hear client room))))

(defn- serve [^ServerSocketChannel listener]
  (let [room (agent #{})]
    (loop []
      (try
        (attend (.socket (.accept listener)) room)
        (catch IOException problem ; descriptors have probably run out; some will be freed
          (binding [*out* *err*]
            (println (str "server: cannot accept a client: " (ex-message problem))))
          (Thread/sleep (long accept-retry-ms))))
      (recur))))

(defn- address
  "The address HOST:PORT; an IPv6 host stands in brackets, as in a URI."
  ^InetSocketAddress [arguments]
  (when (not= 1 (count arguments))
    (throw (ex-info "usage: server HOST:PORT" {})))
  (let [uri (URI/create (str "tcp://" (first arguments)))]
    (when (not= (first arguments) (str (.getHost uri) ":" (.getPort uri)))
      (throw (ex-info (str "invalid address " (pr-str (first arguments)) ": expected HOST:PORT") {})))
    (InetSocketAddress. (InetAddress/getByName (.getHost uri)) (.getPort uri))))

(defn- listen
  "Without a family, 0.0.0.0 would listen on IPv6, too."
  ^ServerSocketChannel [^InetSocketAddress address]
  (let [ipv4 (instance? Inet4Address (.getAddress address))
        family (if ipv4 StandardProtocolFamily/INET StandardProtocolFamily/INET6)]
    (.bind (ServerSocketChannel/open family) address (int listen-backlog))))

(defn -main [& arguments]
  (try
    (let [listener (listen (address arguments))]
      (println (str "listening on " (first arguments)))
      (serve listener))
    (catch Exception problem
      (binding [*out* *err*]
        (println (str "server: " (ex-message problem))))
      (System/exit 1))))
