-- | Green threads and software transactional memory.
--
-- Every client has a green thread that reads and one that writes; each blocks where it
-- must, as if it were alone. They share only transactional variables: the room, and a
-- bounded queue for each client.
--
-- > reader -- one transaction per message --> all queues --> writers
--
-- A reader takes complete frames off its socket. For each of them it runs ONE
-- transaction that puts the frame into the queue of every client in the room, except
-- where a queue is full: that client misses it. Transactions are serialised, so all
-- queues agree on the order; there is no lock and no hub. A writer takes everything in
-- its queue and sends it with one system call.
--
-- When a stream ends, its reader leaves the room and marks the queue as ended, in one
-- transaction, too. The writer sends the rest, and then the socket is closed.
--
-- Shortcuts: a frame is a slice of a received chunk of at most 4 KiB, which stays in
-- memory until all of its frames are sent. A transaction visits every client, so its
-- length grows with the room.
module Main (main) where

import Control.Concurrent
import Control.Concurrent.STM
import Control.Exception
import Control.Monad
import Data.Bifunctor (first)
import Data.ByteString (ByteString)
import qualified Data.ByteString as B
import Data.Char (isDigit)
import Data.Map.Strict (Map)
import qualified Data.Map.Strict as Map
import Data.Unique
import GHC.IO.Exception (IOException (ioe_description))
import Network.Socket
import Network.Socket.ByteString (recv, sendMany)
import System.Environment (getArgs)
import System.Exit (die)
import System.IO
import Text.Read (readMaybe)

-- | Frames queued for a client that reads slowly.
queueFrames :: Num n => n
queueFrames = 64

-- | Bytes per read.
chunkBytes :: Int
chunkBytes = 4096

-- | Connections queued in the kernel.
backlog :: Int
backlog = 1024

-- | Pause after a failed accept.
acceptRetryMicroseconds :: Int
acceptRetryMicroseconds = 50000

-- | TCP_QUICKACK, as Linux numbers it.
quickAck :: SocketOption
quickAck = SockOpt 6 12

data Client = Client
  { name :: Unique,
    connection :: Socket,
    queue :: TBQueue ByteString,
    ended :: TVar Bool
  }

type Room = TVar (Map Unique Client)

main :: IO ()
main = do
  arguments <- getArgs
  listener <- case arguments of
    [address] | Just (host, port) <- parseAddress address -> listenOn address host port
    [address] -> die ("server: " ++ show address ++ " is not HOST:PORT")
    _ -> die "usage: server HOST:PORT"
  address <- getSocketName listener
  putStrLn ("listening on " ++ show address)
  hFlush stdout
  serve listener

serve :: Socket -> IO ()
serve listener = do
  room <- newTVarIO Map.empty
  forever $ do
    accepted <- try (accept listener)
    case accepted of
      Left problem -> do
        -- Descriptors have probably run out; some will be freed.
        hPutStrLn stderr ("server: " ++ ioe_description problem)
        threadDelay acceptRetryMicroseconds
      Right (peer, _) -> do
        client <- Client <$> newUnique <*> pure peer <*> newTBQueueIO queueFrames <*> newTVarIO False
        atomically (modifyTVar' room (Map.insert (name client) client))
        void (forkFinally (attend room client) (\_ -> close peer))

-- | Runs for the lifetime of a client. The writer thread ends by itself: when the queue
-- has ended, or when the client has disconnected, which the reader notices as well.
attend :: Room -> Client -> IO ()
attend room client = do
  setSocketOption (connection client) NoDelay 1
  written <- newEmptyMVar
  _ <- forkFinally (writer client) (\_ -> putMVar written ())
  reader room client `catch` gone `finally` atomically (leave room client)
  takeMVar written
  where
    gone problem = const (pure ()) (problem :: IOException)

reader :: Room -> Client -> IO ()
reader room client = go B.empty
  where
    go rest = do
      chunk <- recv (connection client) chunkBytes
      unless (B.null chunk) $ do
        let (frames, rest') = split (rest <> chunk)
        -- Acknowledge at once: Nagle's algorithm may hold the rest back until then.
        unless (B.null rest') (setSocketOption (connection client) quickAck 1)
        forM_ frames $ \frame -> do
          atomically (broadcast room frame)
          yield -- lets the writers run, so that a flood does not outrun them
        go rest'

-- | The sequencing point.
broadcast :: Room -> ByteString -> STM ()
broadcast room frame = do
  clients <- readTVar room
  forM_ clients $ \client -> do
    full <- isFullTBQueue (queue client)
    unless full (writeTBQueue (queue client) frame)

leave :: Room -> Client -> STM ()
leave room client = do
  modifyTVar' room (Map.delete (name client))
  writeTVar (ended client) True

writer :: Client -> IO ()
writer client = do
  frames <- atomically (pending client)
  unless (null frames) $ do
    sendMany (connection client) frames
    writer client

-- | Waits until there is something to send; an empty list means that the queue has ended.
pending :: Client -> STM [ByteString]
pending client = do
  frames <- flushTBQueue (queue client)
  when (null frames) (readTVar (ended client) >>= check)
  pure frames

-- | The complete frames, each with its length byte, and the rest.
split :: ByteString -> ([ByteString], ByteString)
split bytes = case B.uncons bytes of
  Just (size, body)
    | B.length body >= fromIntegral size ->
      let (frame, rest) = B.splitAt (1 + fromIntegral size) bytes
       in first (frame :) (split rest)
  _ -> ([], bytes)

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
