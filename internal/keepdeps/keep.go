package keepdeps
import (
 _ "github.com/cilium/ebpf"
 _ "github.com/cilium/ebpf/asm"
 _ "github.com/landlock-lsm/go-landlock/landlock"
)
