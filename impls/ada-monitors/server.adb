--  Monitors: data that let one task in at a time, and only when they are
--  ready for it. Ada has them in the language, as protected objects, and
--  beside them the meeting of two tasks, the rendezvous.
--
--  How a message flows. A client's Reader takes complete frames off its
--  socket and meets the Room (Room.Post), a task that meets one client at a
--  time: this is the sequencing point. The Room offers the frames to every
--  client's Outbox, a monitor. The client's Writer waits there for frames
--  (Outbox.Take) and sends all that have gathered.
--
--  What a monitor waits for stands in its barriers, the "when" of an entry:
--  Take is open when there are frames, Put when there is room. Nobody
--  signals; barriers are evaluated when a task leaves the monitor. The Room
--  does not wait at a barrier: its call has an "else", and a client whose
--  outbox has no room misses the frames.
--
--  Shortcuts: the frames of one read are delivered, or missed, together. The
--  tasks of a client that has left are kept for the next one (Room.Park), so
--  there are never more than for the most clients that were here at once.

with Ada.Command_Line;  use Ada.Command_Line;
with Ada.Containers.Vectors;
with Ada.Exceptions;    use Ada.Exceptions;
with Ada.Streams;       use Ada.Streams;
with Ada.Strings.Fixed; use Ada.Strings;
with Ada.Text_IO;       use Ada.Text_IO;
with GNAT.Sockets;      use GNAT.Sockets;

procedure Server is

   Read_Bytes   : constant := 4 * 1024;   --  read, and said, at once
   Outbox_Bytes : constant := 64 * 1024;  --  waiting for one client
   Accept_Pause : constant := 0.1;        --  when descriptors have run out
   TCP          : constant Level_Type := IP_Protocol_For_TCP_Level;

   subtype Bytes is Stream_Element_Array;
   subtype Count is Stream_Element_Offset;

   protected type Outbox_Monitor is
      entry Put (Frames : Bytes);
      entry Take (Frames : out Bytes; Length : out Count);
      --  Everything in it. Nothing means that it has been closed
      procedure Close;
   private
      Queue  : Bytes (1 .. Outbox_Bytes);
      Used   : Count := 0;
      Closed : Boolean := False;
   end Outbox_Monitor;

   type Client;

   task type Reader_Task (Self : not null access Client) is
      entry Start;
   end Reader_Task;

   task type Writer_Task (Self : not null access Client);

   type Client is limited record
      Socket : Socket_Type;
      Outbox : Outbox_Monitor;
      Reader : Reader_Task (Client'Access);
      Writer : Writer_Task (Client'Access);
   end record;

   type Client_Access is access all Client;

   package Vectors is new Ada.Containers.Vectors (Positive, Client_Access);

   task Room is
      entry Enter (Socket : Socket_Type);
      entry Leave (Leaving : Client_Access);
      entry Park (Idle : Client_Access);
      entry Post (Frames : Bytes);
   end Room;

   protected body Outbox_Monitor is

      entry Put (Frames : Bytes) when Used + Read_Bytes <= Outbox_Bytes is
      begin
         Queue (Used + 1 .. Used + Frames'Length) := Frames;
         Used := Used + Frames'Length;
      end Put;

      entry Take (Frames : out Bytes; Length : out Count)
        when Used > 0 or else Closed is
      begin
         Frames (1 .. Used) := Queue (1 .. Used);
         Length := Used;
         Closed := Closed and then Used > 0;  --  open for the next client
         Used := 0;
      end Take;

      procedure Close is
      begin
         Closed := True;
      end Close;

   end Outbox_Monitor;

   task body Room is
      Clients, Parked : Vectors.Vector;
   begin
      loop
         select
            accept Enter (Socket : Socket_Type) do
               if Parked.Is_Empty then
                  Parked.Append (new Client);
               end if;
               Clients.Append (Parked.Last_Element);
               Parked.Delete_Last;
               Clients.Last_Element.Socket := Socket;
               Clients.Last_Element.Reader.Start;
            exception
               when Storage_Error | Tasking_Error =>
                  Close_Socket (Socket);  --  there are no threads left
            end Enter;
         or
            accept Leave (Leaving : Client_Access) do
               Clients.Delete (Clients.Find_Index (Leaving));
               Leaving.Outbox.Close;
            end Leave;
         or
            accept Park (Idle : Client_Access) do
               Parked.Append (Idle);
            end Park;
         or
            accept Post (Frames : Bytes) do
               for Client of Clients loop
                  select
                     Client.Outbox.Put (Frames);
                  else
                     null;  --  no room: this client misses the frames
                  end select;
               end loop;
            end Post;
         or
            terminate;
         end select;
      end loop;
   end Room;

   procedure Read (Socket : Socket_Type) is
      Input : Bytes (1 .. Read_Bytes);
      Held  : Count := 0;  --  bytes in Input; those Done are complete frames
      Done, Last : Count;
   begin
      loop
         Receive_Socket (Socket, Input (Held + 1 .. Input'Last), Last);
         exit when Last = Held;
         Held := Last;
         Done := 0;
         while Done < Held and then Done + Count (Input (Done + 1)) < Held loop
            Done := Done + 1 + Count (Input (Done + 1));
         end loop;
         if Done > 0 then
            Room.Post (Input (1 .. Done));
            Held := Held - Done;
            Input (1 .. Held) := Input (Done + 1 .. Done + Held);
         else
            --  Acknowledge at once: Nagle's algorithm may hold the rest back
            --  until then. 12 is Linux's TCP_QUICKACK
            Set_Socket_Option (Socket, TCP, (Generic_Option, 12, 1));
         end if;
      end loop;
   exception
      when Socket_Error => null;  --  a reset: the stream ends here
   end Read;

   procedure Send (Socket : Socket_Type; Frames : Bytes) is
      Last : Count := 0;
   begin
      while Last < Frames'Last loop
         Send_Socket (Socket, Frames (Last + 1 .. Frames'Last), Last);
      end loop;
   exception
      when Socket_Error => null;  --  the Reader has noticed, too
   end Send;

   task body Reader_Task is
   begin
      loop
         accept Start;
         Read (Self.Socket);
         Room.Leave (Client_Access (Self));
      end loop;
   end Reader_Task;

   task body Writer_Task is
      Frames : Bytes (1 .. Outbox_Bytes);
      Length : Count;
   begin
      loop
         Self.Outbox.Take (Frames, Length);
         Send (Self.Socket, Frames (1 .. Length));
         if Length = 0 then
            Close_Socket (Self.Socket);
            Room.Park (Client_Access (Self));
         end if;
      end loop;
   end Writer_Task;

   function Listen (Address : String) return Socket_Type is
      Colon  : constant Natural := Fixed.Index (Address, ":", Backward);
      Port   : constant Port_Type :=
        Port_Type'Value (Address (Colon + 1 .. Address'Last));
      Host   : constant String := Address (Address'First .. Colon - 1);
      IPv6   : constant Boolean := Fixed.Head (Host, 1) = "[";
      IP     : constant Inet_Addr_Type := Inet_Addr
        (if IPv6 then Host (Host'First + 1 .. Host'Last - 1) else Host);
      Socket : Socket_Type;
   begin
      Create_Socket (Socket, IP.Family);
      Set_Socket_Option (Socket, Socket_Level, (Reuse_Address, True));
      if IPv6 then
         Set_Socket_Option
           (Socket, IP_Protocol_For_IPv6_Level, (IPv6_Only, True));
      end if;
      Bind_Socket (Socket, Network_Socket_Address (IP, Port));
      Listen_Socket (Socket, Length => 1024);  --  connections
      return Socket;
   end Listen;

   Listener, Socket : Socket_Type;
   Peer : Sock_Addr_Type;

begin
   Set_Exit_Status (Failure);  --  it ends only if it cannot begin
   Listener := Listen (if Argument_Count = 1 then Argument (1) else "");
   Put_Line ("listening on " & Image (Get_Socket_Name (Listener)));
   Flush;
   loop
      begin
         Accept_Socket (Listener, Socket, Peer);
         Set_Socket_Option (Socket, TCP, (No_Delay, True));
         Room.Enter (Socket);
      exception
         when Error : Socket_Error =>
            --  Descriptors have probably run out: some will be freed
            Put_Line (Standard_Error, "server: " & Exception_Message (Error));
            delay Accept_Pause;
      end;
   end loop;
exception
   when Constraint_Error =>
      Put_Line (Standard_Error, "server: expected one argument, HOST:PORT");
   when Error : Socket_Error =>
      Put_Line (Standard_Error, "server: " & Exception_Message (Error));
end Server;
