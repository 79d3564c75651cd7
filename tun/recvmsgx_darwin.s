#include "textflag.h"

TEXT recvmsg_x_trampoline<>(SB),NOSPLIT,$0-0
	JMP	libc_recvmsg_x(SB)

GLOBL	·recvmsgXAddr(SB), RODATA, $8
DATA	·recvmsgXAddr(SB)/8, $recvmsg_x_trampoline<>(SB)
