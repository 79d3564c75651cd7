// Package examples holds ways to run tunrec; the tests run or verify each.
//
//	first-recording.sh  builds tunrec, records two pings and shows them
//	record-command.sh   records what a program sends
//	systemd/            a recorder that always runs, and one for every night
//	launchd/, cron/     one for every night
//	go/record-n/        a recorder made of tunrec's packages
package examples
