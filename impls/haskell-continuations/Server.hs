-- | Threads made of continuations: a monad of ten lines, and a queue.
--
-- The idea: a 'Task' is a function of what follows it. So a task that must wait can hand its
-- continuation to somebody else and be forgotten: to the system's event manager, until a socket
-- is ready, or to a client that will get something. Who has it makes the task runnable by
-- putting it into the queue that 'schedule' takes from. A task is a closure on the heap; the
-- scheduler never sees more of it than an action that can be run once.
--
-- > client --> hear -- post --> outboxes --> speak --> client
--
-- How a message flows. 'hear' suspends until its socket is readable, receives, and runs 'post' with
-- the complete frames. That puts them into every client's outbox, the sender's included, and makes
-- the task that has left its continuation there runnable. 'schedule' runs one step at a time and
-- 'post' is a single step, so it is the sequencing point. 'speak' takes all that is in its
-- client's outbox, suspends until the socket is writable, and sends it.
--
-- An outbox is bounded: a client that reads too slowly misses what does not fit.
--
-- Shortcut: the outboxes share what was received, and its bytes are copied before they are sent.
module Main (main) where

import Control.Concurrent
import Control.Exception (catch, try)
import Control.Monad
import Data.ByteString (ByteString)
import qualified Data.ByteString as B
import Data.Char (isDigit)
import Data.Foldable (for_)
import Data.IORef
import Data.IntMap.Strict (IntMap)
import qualified Data.IntMap.Strict as IntMap
import GHC.Event
import GHC.IO.Exception (IOException (ioe_description))
import Network.Socket
import Network.Socket.ByteString (recv, send)
import System.Environment (getArgs)
import System.Exit (die)
import System.IO
import Text.Read (readMaybe)

-- | Chunks of frames queued for one client, besides what is being sent.
outboxChunks :: Int
outboxChunks = 64

-- | Bytes per read: one per turn of a client, and with what was incomplete before it a chunk.
chunkBytes :: Int
chunkBytes = 4096

-- | Connections queued in the kernel.
backlog :: Int
backlog = 1024

-- | Pause after a failed accept.
acceptPauseMicroseconds :: Int
acceptPauseMicroseconds = 100000

-- | TCP_QUICKACK, as Linux numbers it.
quickAck :: SocketOption
quickAck = SockOpt 6 12

-- | What is left of a task: run it once, up to where it is suspended.
type Step = IO ()

-- | A task, as a function of its continuation.
newtype Task a = Task {runTask :: (a -> Step) -> Step}

instance Functor Task where fmap = liftM

instance Applicative Task where
  pure value = Task ($ value)
  (<*>) = ap

instance Monad Task where
  task >>= next = Task (\k -> runTask task (\value -> runTask (next value) k))

-- | Does what does not wait.
perform :: IO a -> Task a
perform action = Task (action >>=)

-- | Ends the step. Who is handed the continuation decides when the task goes on.
suspend :: (Step -> IO ()) -> Task ()
suspend file = Task (\k -> file (k ()))

-- | Everything that tasks share.
data World = World
  { runnable :: Chan Step,
    events :: EventManager,
    clients :: IORef (IntMap Client),
    names :: IORef Int
  }

data Client = Client
  { name :: Int,
    connection :: Socket,
    outbox :: IORef [ByteString], -- complete frames, the newest first
    queued :: IORef Int, -- the length of the outbox
    leaving :: IORef Bool, -- it sends no more, and only its outbox is still sent
    mouth :: IORef (Maybe Step) -- the continuation of a mouth with nothing to send
  }

main :: IO ()
main = do
  arguments <- getArgs
  listener <- case arguments of
    [address] | Just (host, port) <- parseAddress address -> listenOn address host port
    [address] -> die ("server: " ++ show address ++ " is not HOST:PORT")
    _ -> die "usage: server HOST:PORT"
  manager <- maybe (die "server: built without -threaded") pure =<< getSystemEventManager
  world <- World <$> newChan <*> pure manager <*> newIORef IntMap.empty <*> newIORef 0
  address <- getSocketName listener
  putStrLn ("listening on " ++ show address)
  hFlush stdout
  fork world (serve world listener)
  runInUnboundThread (schedule world)

-- | The only thread that runs tasks.
schedule :: World -> IO ()
schedule world = forever (join (readChan (runnable world)))

fork :: World -> Task () -> IO ()
fork world task = writeChan (runnable world) (runTask task pure)

-- | Suspends a task until its socket is ready: the event manager keeps the continuation.
await :: World -> Event -> Socket -> Task ()
await world event socket' = suspend $ \step -> withFdSocket socket' $ \fd ->
  void (registerFd (events world) (\_ _ -> writeChan (runnable world) step) (fromIntegral fd) event OneShot)

serve :: World -> Socket -> Task ()
serve world listener = do
  await world evtRead listener
  accepted <- perform (try (accept listener))
  case accepted of
    Left problem -> do
      -- Descriptors have probably run out; some will be freed.
      perform (hPutStrLn stderr ("server: cannot accept a client: " ++ ioe_description problem))
      timers <- perform getSystemTimerManager
      suspend (void . registerTimeout timers acceptPauseMicroseconds . writeChan (runnable world))
    Right (peer, _) -> perform (enter world peer >>= fork world . hear world B.empty)
  serve world listener

-- | A new client, whose mouth runs from now on.
enter :: World -> Socket -> IO Client
enter world peer = do
  _ <- try (setSocketOption peer NoDelay 1) :: IO (Either IOException ())
  own <- readIORef (names world)
  writeIORef (names world) (own + 1)
  client <- Client own peer <$> newIORef [] <*> newIORef 0 <*> newIORef False <*> newIORef Nothing
  modifyIORef' (clients world) (IntMap.insert own client)
  client <$ fork world (speak world client)

-- | Runs until the end of what the client sends; the mouth closes the connection.
hear :: World -> ByteString -> Client -> Task ()
hear world partial client = do
  await world evtRead (connection client)
  received <- perform (try (recv (connection client) chunkBytes))
  case received of
    Left problem -> perform (leave world client (Just problem))
    Right chunk | B.null chunk -> perform (leave world client Nothing)
    Right chunk -> do
      let bytes = partial <> chunk
          (frames, rest) = B.splitAt (wholeFrames bytes) bytes
      if B.null frames
        then perform (acknowledge (connection client))
        else perform (post world frames)
      hear world (B.copy rest) client

-- | At once: Nagle's algorithm may hold the rest of a frame back until then.
acknowledge :: Socket -> IO ()
acknowledge peer = void (try (setSocketOption peer quickAck 1) :: IO (Either IOException ()))

-- | The sequencing point: one step.
post :: World -> ByteString -> IO ()
post world frames = do
  everybody <- readIORef (clients world)
  for_ everybody $ \client -> do
    used <- readIORef (queued client)
    when (used < outboxChunks) $ do
      modifyIORef' (outbox client) (frames :)
      writeIORef (queued client) (used + 1)
      wake world client

-- | Makes a mouth runnable that waits for news.
wake :: World -> Client -> IO ()
wake world client = do
  waiting <- readIORef (mouth client)
  writeIORef (mouth client) Nothing
  for_ waiting (writeChan (runnable world))

leave :: World -> Client -> Maybe IOException -> IO ()
leave world client problem = do
  modifyIORef' (clients world) (IntMap.delete (name client))
  writeIORef (leaving client) True
  when (problem /= Nothing) (writeIORef (outbox client) []) -- nothing can be sent
  wake world client

speak :: World -> Client -> Task ()
speak world client = do
  frames <- perform (readIORef (outbox client) <* writeIORef (outbox client) [])
  perform (writeIORef (queued client) 0)
  ended <- perform (readIORef (leaving client))
  if null frames && ended
    then perform (close (connection client))
    else do
      if null frames
        then suspend (writeIORef (mouth client) . Just)
        else sendAll (B.concat (reverse frames))
      speak world client
  where
    sendAll bytes = unless (B.null bytes) $ do
      await world evtWrite (connection client)
      sent <- perform (try (send (connection client) bytes))
      case sent of
        Right count -> sendAll (B.drop count bytes)
        Left problem -> const (pure ()) (problem :: IOException) -- its ear hears of it, too

-- | The length of the complete frames at the start.
wholeFrames :: ByteString -> Int
wholeFrames bytes = go 0
  where
    go end
      | end < B.length bytes, next <= B.length bytes = go next
      | otherwise = end
      where
        next = end + 1 + fromIntegral (B.index bytes end)

-- | Splits HOST:PORT, where an IPv6 host is in brackets.
parseAddress :: String -> Maybe (HostName, ServiceName)
parseAddress address = do
  let (reversedPort, reversedHost) = break (== ':') (reverse address)
      port = reverse reversedPort
  host <- case reversedHost of
    ':' : ']' : reversed | '[' : host <- reverse reversed -> Just host
    ':' : reversed | ':' `notElem` reversed -> Just (reverse reversed)
    _ -> Nothing
  number <- readMaybe port :: Maybe Integer
  guard (not (null host) && all isDigit port && number <= 65535)
  pure (host, port)

listenOn :: String -> HostName -> ServiceName -> IO Socket
listenOn address host port = listening `catch` failed
  where
    hints = defaultHints {addrSocketType = Stream}
    failed problem = die ("server: " ++ show address ++ ": " ++ ioe_description problem)
    listening = do
      info <- head <$> getAddrInfo (Just hints) (Just host) (Just port)
      listener <- openSocket info
      setSocketOption listener ReuseAddr 1
      when (addrFamily info == AF_INET6) (setSocketOption listener IPv6Only 1)
      bind listener (addrAddress info)
      listen listener backlog
      pure listener
