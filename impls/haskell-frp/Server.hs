-- | Functional reactive programming: who is in the room is a value that changes with time.
--
-- The idea: the program says once, in 'network', how its values depend on each other. What
-- clients do is an event; the room is a behaviour, which has a value at any time, and changes with
-- those of these events that are somebody's joining or leaving; a delivery is what was said,
-- combined with the room as it was at that time. No variable is assigned, and nothing can see a
-- room that is half changed.
--
-- > hear -- tell --> happenings --> said -------+--> deliver --> outboxes --> speak
-- >                      |                      |
-- >                      +------> changing --> room
--
-- How a message flows. 'hear', a green thread, receives and tells the network the complete frames.
-- 'tell' holds the turn while an event passes through the network and what depends on it is done,
-- so it is the sequencing point. 'deliver' puts the frames into the outbox of everybody in
-- the room, the sender included, unless the outbox is full: then that client misses them. 'speak',
-- a second green thread, sends what is in the outbox.
--
-- Shortcut: the network is not changed while it runs. Clients are elements of a value in it, and
-- not nodes.
module Main (main) where

import Control.Concurrent
import Control.Concurrent.STM
import Control.Exception hiding (Handler)
import Control.Monad
import Data.ByteString (ByteString)
import qualified Data.ByteString as B
import Data.Char (isDigit)
import Data.Foldable (for_)
import Data.Map.Strict (Map)
import qualified Data.Map.Strict as Map
import Data.Unique
import GHC.IO.Exception (IOException (ioe_description))
import Network.Socket
import Network.Socket.ByteString (recv, sendMany)
import Reactive.Banana
import Reactive.Banana.Frameworks
import System.Environment (getArgs)
import System.Exit (die)
import System.IO
import Text.Read (readMaybe)

-- | Chunks of frames queued for a client that reads slowly.
outboxChunks :: Num n => n
outboxChunks = 64

-- | Bytes per read; with what was incomplete before it, a chunk.
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

data Client = Client
  { name :: Unique,
    connection :: Socket,
    outbox :: TBQueue ByteString,
    ended :: TVar Bool
  }

-- | What clients do.
data Happening = Joins Client | Says ByteString | Leaves Client

type Room = Map Unique Client

main :: IO ()
main = do
  arguments <- getArgs
  listener <- case arguments of
    [address] | Just (host, port) <- parseAddress address -> listenOn address host port
    [address] -> die ("server: " ++ show address ++ " is not HOST:PORT")
    _ -> die "usage: server HOST:PORT"
  (happenings, fire) <- newAddHandler
  compile (network happenings) >>= actuate
  turn <- newMVar ()
  address <- getSocketName listener
  putStrLn ("listening on " ++ show address)
  hFlush stdout
  serve (tell turn fire) listener

-- | The whole of the program's logic.
network :: AddHandler Happening -> MomentIO ()
network handler = do
  happenings <- fromAddHandler handler
  let said = filterJust (spoken <$> happenings)
      changing = filterJust (change <$> happenings)
  rooms <- accumE Map.empty changing
  room <- stepper Map.empty rooms
  reactimate (deliver <$> room <@> said)
  reactimate (void . evaluate <$> rooms) -- now: what is not evaluated keeps those who have left
  where
    spoken (Says frames) = Just frames
    spoken _ = Nothing
    change (Joins client) = Just (Map.insert (name client) client)
    change (Leaves client) = Just (Map.delete (name client))
    change (Says _) = Nothing

-- | The sequencing point.
tell :: MVar () -> Handler Happening -> Happening -> IO ()
tell turn fire happening = withMVar turn (const (fire happening))

-- | Waits for nobody.
deliver :: Room -> ByteString -> IO ()
deliver room frames = for_ room $ \client -> atomically $ do
  full <- isFullTBQueue (outbox client)
  unless full (writeTBQueue (outbox client) frames)

serve :: (Happening -> IO ()) -> Socket -> IO ()
serve telling listener = forever $ do
  accepted <- try (accept listener)
  case accepted of
    Left problem -> do
      -- Descriptors have probably run out; some will be freed.
      hPutStrLn stderr ("server: cannot accept a client: " ++ ioe_description problem)
      threadDelay acceptPauseMicroseconds
    Right (peer, _) -> do
      client <- Client <$> newUnique <*> pure peer <*> newTBQueueIO outboxChunks <*> newTVarIO False
      telling (Joins client)
      void (forkFinally (attend telling client) (\_ -> close peer))

-- | Runs for the lifetime of a client. The speaker ends by itself: when the outbox has ended, or
-- when the client has disconnected, which the ear notices as well.
attend :: (Happening -> IO ()) -> Client -> IO ()
attend telling client = do
  spoken <- newEmptyMVar
  _ <- forkFinally (speak client) (\_ -> putMVar spoken ())
  listening `catch` gone `finally` telling (Leaves client)
  atomically (writeTVar (ended client) True)
  takeMVar spoken
  where
    listening = setSocketOption (connection client) NoDelay 1 >> hear telling client B.empty
    gone problem = const (pure ()) (problem :: IOException)

hear :: (Happening -> IO ()) -> Client -> ByteString -> IO ()
hear telling client partial = do
  received <- recv (connection client) chunkBytes
  unless (B.null received) $ do
    let bytes = partial <> received
        (frames, rest) = B.splitAt (wholeFrames bytes) bytes
    if B.null frames
      then acknowledge
      else telling (Says frames) >> yield -- lets those speak who have something to send
    hear telling client (B.copy rest)
  where
    -- At once: Nagle's algorithm may hold the rest of a frame back until then.
    acknowledge = setSocketOption (connection client) quickAck 1

speak :: Client -> IO ()
speak client = do
  chunks <- atomically $ do
    chunks <- flushTBQueue (outbox client)
    when (null chunks) (readTVar (ended client) >>= check)
    pure chunks
  unless (null chunks) (sendMany (connection client) chunks >> speak client)

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
