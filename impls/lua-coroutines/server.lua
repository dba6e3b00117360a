-- Coroutines of the language itself, on one thread: a server as two loops per client.
--
-- The idea: in Lua a coroutine is an ordinary value, with a stack of its own. A call that
-- would block yields what it waits for, through any number of calls, to the function that
-- resumed the coroutine. Here that is in cqueues, which waits with epoll for what all of
-- them have yielded. The code below only reads, writes and waits.
--
--     serve -> read -> post -> backlog of each client -> write
--
-- How a message flows. Each client has a coroutine in `read` and one in `write`. `read`
-- receives what the client has sent and calls `post`, which adds the complete frames to
-- every client's backlog, the sender's included. Nothing in `post` yields, so nothing else
-- runs meanwhile: it is the sequencing point. `write` sends everything that has gathered
-- with one call.
--
-- Reading what is already there does not wait. So `read` yields after each read, which lets
-- all others run.
--
-- Shortcut: the frames of one read are delivered, or dropped, together.

local cqueues = require "cqueues"
local condition = require "cqueues.condition"
local errno = require "cqueues.errno"
local socket = require "cqueues.socket"
local posix = require "posix.sys.socket"

local BACKLOG_BYTES_MAX = 64 * 1024 -- queued for a client that reads slowly
local READ_BYTES_MAX = 16 * 1024 -- per turn of one client
local FRAME_BYTES_MAX = 1 + 255 -- a length and a body
local ACCEPT_PAUSE_SECONDS = 0.1 -- when descriptors have run out
local TCP_QUICKACK = 12 -- tcp(7); no library names it

local clients, count = {}, 0 -- a set, and its size

local function fail(...)
  io.stderr:write("server: ", string.format(...), "\n")
  os.exit(1)
end

local function listen(address)
  local host, port = address:match "^%[([%x:.]+)%]:(%d+)$"
  if not host then
    host, port = address:match "^([%d.]+):(%d+)$"
  end
  if not host or tonumber(port) > 65535 then
    fail("%s: not an IP address and a port", address)
  end
  local options = { host = host, port = tonumber(port), nodelay = true, v6only = true }
  local listener, problem = socket.listen(options)
  local listening
  if listener then
    listener:onerror(function(_, _, code) return code end)
    listening, problem = listener:listen()
  end
  if not listening then
    fail("cannot listen on %s: %s", address, errno.strerror(problem))
  end
  return listener
end

-- The length of the complete frames at the start.
local function whole_frames(bytes)
  local whole = 0
  while whole < #bytes do
    local following = whole + 1 + bytes:byte(whole + 1)
    if following > #bytes then
      break
    end
    whole = following
  end
  return whole
end

-- The sequencing point.
local function post(frames)
  for client in pairs(clients) do
    if client.queued + #frames <= BACKLOG_BYTES_MAX then
      table.insert(client.backlog, frames)
      client.queued = client.queued + #frames
      client.news:signal()
    end
  end
end

-- At once: Nagle's algorithm may hold the rest of a frame back until then.
local function acknowledge(client)
  posix.setsockopt(client.socket:pollfd(), posix.IPPROTO_TCP, TCP_QUICKACK, 1)
end

-- So many bytes that what each client sends in one turn fits into a backlog.
local function share()
  return math.max(FRAME_BYTES_MAX, math.min(READ_BYTES_MAX, BACKLOG_BYTES_MAX // count))
end

local function read(client)
  local received = ""
  for bytes in function() return client.socket:read(-share()) end do
    received = received .. bytes
    local whole = whole_frames(received)
    if whole > 0 then
      post(received:sub(1, whole))
      received = received:sub(whole + 1)
    else
      acknowledge(client)
    end
    cqueues.sleep(0)
  end
end

-- After a reset the writes fail at once, as the read does.
local function write(client)
  while #client.backlog > 0 or not client.left do
    if #client.backlog == 0 then
      client.news:wait()
    else
      local frames = table.concat(client.backlog)
      client.backlog, client.queued = {}, 0
      client.socket:write(frames)
    end
  end
  client.socket:close()
end

local function attend(client, loop)
  clients[client], count = true, count + 1
  loop:wrap(write, client)
  read(client)
  clients[client], count = nil, count - 1
  client.left = true
  client.news:signal()
end

local function serve(listener, loop)
  local failures = 0 -- since the last success
  while true do
    local connection, problem = listener:accept { nodelay = true }
    if connection then
      failures = 0
      connection:onerror(function(_, _, code) return code end)
      connection:setmode("bn", "bn")
      local client = {
        socket = connection, backlog = {}, queued = 0, news = condition.new(), left = false
      }
      loop:wrap(attend, client, loop)
    else
      if failures == 0 then
        io.stderr:write("server: cannot accept a client: ", errno.strerror(problem), "\n")
      end
      failures = failures + 1
      cqueues.sleep(ACCEPT_PAUSE_SECONDS)
    end
  end
end

local function main()
  if #arg ~= 1 then
    fail("usage: server.lua HOST:PORT")
  end
  local listener, loop = listen(arg[1]), cqueues.new()
  loop:wrap(serve, listener, loop)
  print("listening on " .. arg[1])
  io.stdout:flush()
  assert(loop:loop())
end

main()
