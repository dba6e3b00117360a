{ Threads and locks, where a thread is an object and a wake-up is remembered.

  The idea: two thread objects per client, TEar and TMouth, share the room, which one critical
  section guards. A mouth with nothing to send waits for an event. Unlike a condition variable an
  event remembers that it was set, so it is set and waited for without the lock, and no wake-up is
  lost between looking into the outbox and waiting.

  How a message flows. TEar.Execute receives and passes its complete frames to Say, which appends
  them to every client's outbox, the sender's included, while it holds the room. Who holds the
  room is alone, so this is the sequencing point. TMouth.Execute sends what is in front in the
  outbox without the lock, as Say writes only behind it, and then takes it out with the lock.

      client --> TEar --> Say --> outboxes --> TMouth --> client

  An outbox is bounded: a client that reads too slowly misses the frames that do not fit.

  Shortcut: each client has its own copy of every message, in its outbox. }
program Server;

{$mode objfpc}{$H+}

uses
  CThreads, Classes, SysUtils, BaseUnix, Sockets;

const
  OutboxBytesMax = 64 * 1024; { queued for one client }
  ReadBytesMax = 4 * 1024;
  FrameBytesMax = 1 + 255;    { the length byte and the body }
  StackBytes = 64 * 1024;     { of each thread }
  ListenBacklog = 1024;       { connections queued in the kernel }
  AcceptPauseMs = 100;        { when descriptors or threads have run out }
  NoSignal = $4000;           { Linux's MSG_NOSIGNAL, }
  NoDelay = 1;                { TCP_NODELAY, }
  QuickAck = 12;              { TCP_QUICKACK }
  Ipv6Only = 26;              { and IPV6_V6ONLY }

type
  TClient = class
    Socket: cint;
    Index: Integer;    { in Clients }
    Outbox: PByte;     { complete frames; the first may be partly sent }
    Used: SizeInt;     { bytes in the outbox }
    Leaving: Boolean;  { it sends no more, and only its outbox is still sent }
    Wake: PRTLEvent;   { set when the outbox, or Leaving, has changed }
    constructor Create(ASocket: cint);
    destructor Destroy; override;
  end;

  TClientThread = class(TThread)
    Client: TClient;
    constructor Create(AClient: TClient);
  end;

  TEar = class(TClientThread)
    procedure Execute; override;
  end;

  TMouth = class(TClientThread)
    procedure Execute; override;
  end;

var
  Room: TRTLCriticalSection; { guards Clients, and of each client Outbox, Used and Leaving }
  Clients: TFPList;          { those that are not leaving }

procedure Fail(const What, Why: string);
begin
  WriteLn(StdErr, 'server: ', What, ': ', Why);
  Halt(1);
end;

procedure SetOption(Socket, Level, Name: cint);
const
  On: cint = 1;
begin
  FpSetSockOpt(Socket, Level, Name, @On, SizeOf(On));
end;

{ The length of the complete frames at the start of Bytes. }
function WholeFrames(Bytes: PByte; Length: SizeInt): SizeInt;
begin
  Result := 0;
  while (Result < Length) and (Result + Bytes[Result] < Length) do
    Result := Result + 1 + Bytes[Result];
end;

{ The sequencing point. }
procedure Say(Frames: PByte; Length: SizeInt);
var
  I: Integer;
  Client: TClient;
  Fitting: SizeInt;
begin
  EnterCriticalSection(Room);
  for I := 0 to Clients.Count - 1 do
  begin
    Client := TClient(Clients[I]);
    Fitting := Length;
    if Client.Used + Length > OutboxBytesMax then
      Fitting := WholeFrames(Frames, OutboxBytesMax - Client.Used);
    Move(Frames^, Client.Outbox[Client.Used], Fitting);
    Client.Used := Client.Used + Fitting;
    RTLEventSetEvent(Client.Wake);
  end;
  LeaveCriticalSection(Room);
end;

constructor TClient.Create(ASocket: cint);
begin
  Socket := ASocket;
  Wake := RTLEventCreate;
  Outbox := GetMem(OutboxBytesMax);
  EnterCriticalSection(Room);
  Index := Clients.Add(Self);
  LeaveCriticalSection(Room);
end;

destructor TClient.Destroy;
begin
  FreeMem(Outbox);
  RTLEventDestroy(Wake);
  FpClose(Socket);
end;

{ The last client takes the place of the one that leaves. }
procedure Leave(Client: TClient; Broken: Boolean);
begin
  EnterCriticalSection(Room);
  Clients[Client.Index] := Clients.Last;
  TClient(Clients.Last).Index := Client.Index;
  Clients.Count := Clients.Count - 1;
  Client.Leaving := True;
  if Broken then
    FpShutdown(Client.Socket, SHUT_RDWR); { its mouth does not wait for it any more }
  RTLEventSetEvent(Client.Wake);
  LeaveCriticalSection(Room);
end;

constructor TClientThread.Create(AClient: TClient);
begin
  Client := AClient;
  inherited Create(False, StackBytes);
end;

procedure TEar.Execute;
var
  Bytes: array [0 .. FrameBytesMax + ReadBytesMax - 1] of Byte;
  Received, Filled, Whole: SizeInt;
  Mouth: TMouth;
begin
  FreeOnTerminate := True;
  Mouth := nil;
  Filled := 0; { by an incomplete frame }
  try
    Mouth := TMouth.Create(Client);
    repeat
      Received := FpRecv(Client.Socket, @Bytes[Filled], ReadBytesMax, 0);
      Filled := Filled + Received;
      Whole := WholeFrames(@Bytes, Filled);
      if Whole > 0 then
      begin
        Say(@Bytes, Whole);
        Filled := Filled - Whole;
        Move(Bytes[Whole], Bytes, Filled);
      end
      else { acknowledge at once: Nagle's algorithm may hold the rest back until then }
        SetOption(Client.Socket, IPPROTO_TCP, QuickAck);
    until Received <= 0;
  except
    on EThread do
      Received := -1;
  end;
  Leave(Client, Received < 0);
  if Mouth <> nil then
    Mouth.WaitFor;
  Mouth.Free;
  Client.Free;
end;

procedure TMouth.Execute;
var
  Sent, Length: SizeInt;
  Ended: Boolean;
begin
  Sent := 0;
  repeat
    EnterCriticalSection(Room);
    Client.Used := Client.Used - Sent;
    Move(Client.Outbox[Sent], Client.Outbox^, Client.Used);
    Length := Client.Used;
    Ended := Client.Leaving and (Length = 0);
    LeaveCriticalSection(Room);
    Sent := 0;
    if Length > 0 then
      Sent := FpSend(Client.Socket, Client.Outbox, Length, NoSignal)
    else if not Ended then
      RTLEventWaitFor(Client.Wake);
  until Ended or (Sent < 0);
  if Sent < 0 then
    FpShutdown(Client.Socket, SHUT_RDWR); { the connection is broken: its ear hears the end }
end;

{ A thread ends by an exception of the C library, whose code is loaded when it is first needed. Let
  that not be when descriptors have run out. }
function Nothing({%H-}Argument: Pointer): PtrInt;
begin
  Result := 0;
end;

{ Host is an IPv4 address, or an IPv6 address in brackets. }
function ListenOn(const Address: string): cint;
var
  Ipv4: TInetSockAddr;
  Ipv6: TInetSockAddr6;
  Host: string;
  Colon, Port: Integer;
  Known: Boolean;
begin
  Colon := LastDelimiter(':', Address);
  Host := Copy(Address, 1, Colon - 1);
  if (Colon = 0) or not TryStrToInt(Copy(Address, Colon + 1, 6), Port) or
    (Address[Length(Address)] = ' ') or not (Address[Colon + 1] in ['0' .. '9']) or
    (Port > 65535) then
    Fail(Address, 'not HOST:PORT');
  Ipv4 := Default(TInetSockAddr);
  Ipv6 := Default(TInetSockAddr6);
  if (Length(Host) > 2) and (Host[1] = '[') and (Host[Length(Host)] = ']') then
  begin
    Ipv6.sin6_family := AF_INET6;
    Ipv6.sin6_port := htons(Port);
    Known := TryStrToHostAddr6(Copy(Host, 2, Length(Host) - 2), Ipv6.sin6_addr);
    Result := FpSocket(AF_INET6, SOCK_STREAM, 0);
    SetOption(Result, IPPROTO_IPV6, Ipv6Only);
  end
  else
  begin
    Ipv4.sin_family := AF_INET;
    Ipv4.sin_port := htons(Port);
    Known := TryStrToHostAddr(Host, Ipv4.sin_addr);
    Ipv4.sin_addr.s_addr := htonl(Ipv4.sin_addr.s_addr);
    Result := FpSocket(AF_INET, SOCK_STREAM, 0);
  end;
  if not Known then
    Fail(Address, 'not an IP address and a port');
  SetOption(Result, SOL_SOCKET, SO_REUSEADDR);
  if Ipv6.sin6_family = AF_INET6 then
    Known := FpBind(Result, @Ipv6, SizeOf(Ipv6)) = 0
  else
    Known := FpBind(Result, @Ipv4, SizeOf(Ipv4)) = 0;
  if not Known or (FpListen(Result, ListenBacklog) <> 0) then
    Fail(Address, SysErrorMessage(SocketError));
end;

var
  Listener, Socket: cint;
  Client: TClient;
  Failed: Boolean = False; { since the last success }

begin
  if ParamCount <> 1 then
    Fail('usage', 'server HOST:PORT');
  InitCriticalSection(Room);
  Clients := TFPList.Create;
  WaitForThreadTerminate(BeginThread(@Nothing), 0);
  Listener := ListenOn(ParamStr(1));
  WriteLn('listening on ', ParamStr(1));
  Flush(Output);
  while True do
  begin
    Socket := FpAccept(Listener, nil, nil);
    if Socket >= 0 then
    begin
      SetOption(Socket, IPPROTO_TCP, NoDelay);
      Client := TClient.Create(Socket);
      try
        TEar.Create(Client);
      except
        on EThread do
        begin
          Leave(Client, True);
          Client.Free;
          Socket := -1;
        end;
      end;
    end;
    if Socket < 0 then
    begin { some descriptors or threads will be freed }
      if not Failed then
        WriteLn(StdErr, 'server: cannot accept a client: ', SysErrorMessage(SocketError));
      Sleep(AcceptPauseMs);
    end;
    Failed := Socket < 0;
  end;
end.
