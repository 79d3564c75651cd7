// Package torture has the fault matrix: every row does one thing to a recorder
// that runs, hundreds of times where asked, and accounts for every packet.
//
// A row counts
//
//	tries        how often it was done
//	survived     tries in which the recorder did all that the row demands
//	unexplained  packets sent − in files − told as lost
//	refused      files that Wireshark or tunrec itself cannot read
//
// The last two are to be 0. go test runs the short rows with small counts;
// go test -long -timeout 0 runs all of them and prints the table of
// docs/RELIABILITY.md. Rows that start recorders need root and Linux: they make
// devices in network namespaces of their own.
//
// A way through the files: row (what is counted), rig (a namespace and a folder),
// recorder, send, account (what is in the files), judge (what that says of the
// recorder), faultfs (a file system that fails on demand), durable (and that forgets
// what was not synced), and then the rows by what they do: kill, power, disk, faults,
// hands, device, signals, limits, hooks, messages, many.
package torture
