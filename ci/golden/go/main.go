// Go's clients, made to send what they can: main franz-go|sarama ADDRESS [CODEC]
package main

import (
	"fmt"
	"os"
)

const records = 5

// attempt says what was refused: a refusal is an answer too, and it is recorded.
func attempt(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "   %s: %v\n", what, err)
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	name, address, codec := os.Args[1], os.Args[2], ""
	if len(os.Args) > 3 {
		codec = os.Args[3]
	}
	switch name {
	case "franz-go":
		franz(address, codec)
	case "sarama":
		saramaClient(address, codec)
	default:
		must(fmt.Errorf("no client is called %s", name))
	}
}
