-- | __NAME__: two green threads per client and one transaction per message.
--
-- How a message flows. The client's 'readFrames' thread receives bytes, splits off the
-- complete frames, and runs one transaction for each: 'broadcast' puts it into every
-- client's queue, including the sender's. Transactions take effect one after another: this
-- is the sequencing point. Each client's 'writeFrames' thread sends everything in its
-- queue. A queue is bounded; a client whose queue is full misses the message. No thread
-- waits for a client in a transaction.
module Main (main) where

import Control.Concurrent
import Control.Concurrent.STM
import Control.Exception
import Control.Monad
import Data.ByteString (ByteString)
import qualified Data.ByteString as B
import Data.List (delete)
import GHC.IO.Exception (ioe_description)
import Network.Socket
import Network.Socket.ByteString (recv, sendMany)
import System.Environment (getArgs)
import System.Exit (die)
import System.IO

-- | Messages queued for one client.
queueLimit :: Int
queueLimit = 64

-- | Bytes read from one client at once.
readBytesMax :: Int
readBytesMax = 4096

-- | Connections queued in the kernel.
listenBacklog :: Int
listenBacklog = 1024

-- | How long to pause accepting when descriptors have run out.
acceptPauseMicroseconds :: Int
acceptPauseMicroseconds = 100000

-- | Frames to send; 'Nothing' says that no more will follow.
type Queue = TBQueue (Maybe ByteString)

type Room = TVar [Queue]

main :: IO ()
main = do
  arguments <- getArgs
  listener <- case arguments of
    [address] -> listenOn address `catch` (die . ("server: error: " ++) . describe)
    _ -> die "server: error: expected one argument, HOST:PORT"
  getSocketName listener >>= putStrLn . ("listening on " ++) . show
  hFlush stdout
  room <- newTVarIO []
  forever (acceptClient room listener `catch` pause)
  where
    pause problem = do
      hPutStrLn stderr ("server: cannot accept a client: " ++ describe problem)
      threadDelay acceptPauseMicroseconds

describe :: IOException -> String
describe = ioe_description

listenOn :: String -> IO Socket
listenOn address = do
  (host, port) <- case break (== ':') (reverse address) of
    (port@(_ : _), ':' : host@(_ : _)) -> pure (unbracket (reverse host), reverse port)
    _ -> ioError (userError "expected HOST:PORT")
  let hints = defaultHints {addrSocketType = Stream, addrFlags = [AI_NUMERICSERV]}
  info <- head <$> getAddrInfo (Just hints) (Just host) (Just port)
  when (length port > 5 || read port > (65535 :: Int)) $
    ioError (userError ("invalid port " ++ port))
  listener <- openSocket info
  setSocketOption listener ReuseAddr 1
  when (addrFamily info == AF_INET6) (setSocketOption listener IPv6Only 1)
  bind listener (addrAddress info)
  listen listener listenBacklog
  pure listener
  where
    unbracket host = if take 1 host == "[" then init (drop 1 host) else host

acceptClient :: Room -> Socket -> IO ()
acceptClient room listener = do
  (connection, _) <- accept listener
  queue <- newTBQueueIO (fromIntegral queueLimit + 1) -- with a place for 'Nothing'
  atomically (modifyTVar' room (queue :))
  void (forkFinally (serve room connection queue) (\_ -> close connection))

serve :: Room -> Socket -> Queue -> IO ()
serve room connection queue = do
  setSocketOption connection NoDelay 1
  written <- newEmptyMVar
  _ <- forkFinally (writeFrames connection queue) (\_ -> putMVar written ())
  readFrames room connection B.empty `catch` disconnected
  atomically $ do
    modifyTVar' room (delete queue)
    writeTBQueue queue Nothing
  takeMVar written
  where
    disconnected :: IOException -> IO ()
    disconnected _ = pure ()

-- | Until the end of the stream; an incomplete last frame is dropped.
readFrames :: Room -> Socket -> ByteString -> IO ()
readFrames room connection partial = do
  bytes <- recv connection readBytesMax
  unless (B.null bytes) $ do
    let (frames, rest) = split (partial <> bytes)
    when (null frames) (acknowledge connection)
    forM_ frames $ \frame -> do
      atomically (broadcast room frame)
      yield -- lets the writers run, or a flood runs far ahead of them
    readFrames room connection rest

-- | The complete frames, each with its length byte, and the rest.
split :: ByteString -> ([ByteString], ByteString)
split bytes = case B.uncons bytes of
  Just (size, body) | B.length body >= fromIntegral size ->
    let (frame, rest) = B.splitAt (1 + fromIntegral size) bytes
        (frames, partial) = split rest
     in (frame : frames, partial)
  _ -> ([], bytes)

-- | A sender may wait for the acknowledgement of a frame's start before it sends the rest,
-- and the kernel delays that by 40 ms unless told otherwise each time.
acknowledge :: Socket -> IO ()
acknowledge connection = setSocketOption connection (SockOpt 6 12) 1 -- TCP_QUICKACK on Linux

broadcast :: Room -> ByteString -> STM ()
broadcast room frame = do
  queues <- readTVar room
  forM_ queues $ \queue -> do
    queued <- lengthTBQueue queue
    when (fromIntegral queued < queueLimit) (writeTBQueue queue (Just frame))

writeFrames :: Socket -> Queue -> IO ()
writeFrames connection queue = do
  batch <- atomically $ do
    first <- readTBQueue queue
    rest <- flushTBQueue queue
    pure (first : rest)
  sendMany connection [frame | Just frame <- batch]
  unless (Nothing `elem` batch) (writeFrames connection queue)
