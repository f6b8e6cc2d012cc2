// Asks a .tin and prints the answer as it comes; interrupt it, or wait past -most, and the answer is dropped.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"tinsmith"
)

func main() {
	most := flag.Duration("most", time.Minute, "time for the answer")
	key := flag.String("key", "", "the public key that signed the file")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: demo [-most 10s] [-key RW...] FILE.tin TEXT")
		os.Exit(2)
	}
	if err := ask(flag.Arg(0), *key, flag.Arg(1), *most); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func ask(path, key, text string, most time.Duration) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	model, err := tinsmith.Open(path, tinsmith.WithKey(key))
	if err != nil {
		return err
	}
	defer model.Close()
	session, err := model.Session(tinsmith.Options{Context: 1024})
	if err != nil {
		return err
	}
	defer session.Close()
	for piece, err := range session.Ask(ctx, text, 128) {
		if err != nil {
			return err
		}
		fmt.Print(piece)
	}
	answer := session.Answer()
	fmt.Printf("\n%d tokens by %d passes; digest %016x\n", answer.Tokens, answer.Passes, answer.Digest)
	return nil
}
