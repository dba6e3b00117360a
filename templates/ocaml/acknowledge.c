/* TCP_QUICKACK, an option of Linux that OCaml's Unix module does not have. */

#include <caml/mlvalues.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

value server_acknowledge(value socket)
{
    int on = 1;
    setsockopt(Int_val(socket), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    return Val_unit;
}
