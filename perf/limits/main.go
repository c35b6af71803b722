// What this machine does without any broker: the limits beside which a broker's figures stand. As JSON.
//
//	limits FOLDER CORE CORE
package main

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	fileBytes      = 64 << 20
	largeBytes     = 64 << 20
	loopbackBytes  = 4 << 30
	roundTrips     = 20000
	messageBytes   = 100
	writesMax      = 2000
	writesTime     = 3 * time.Second
	repeats        = 20
	crcRepeats     = 2000
	crcBytes       = 1 << 20
	alignment      = 4096
	gigabyte       = 1e9
	microsPerNano  = 1e-3
	highPercentile = 99
)

// spread is the middle and the tail of many times.
type spread struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: limits FOLDER CORE CORE")
		os.Exit(2)
	}
	here, there := core(os.Args[2]), core(os.Args[3])
	pin(here)
	found := map[string]any{"memory_copy_GB_s": memoryCopy(), "crc32c_GB_s": crc()}
	for name, size := range map[string]int{"4k": 4 << 10, "128k": 128 << 10, "1m": 1 << 20} {
		times := writes(os.Args[1], size)
		found["write_flush_"+name+"_us"] = spreadOf(times)
		total := time.Duration(0)
		for _, each := range times {
			total += each
		}
		found["write_flush_"+name+"_MB_s"] = float64(size*len(times)) / 1e6 / total.Seconds()
	}
	found["loopback_round_trip_us"] = spreadOf(pingPong(there))
	found["loopback_GB_s"] = loopback(there)
	text, err := json.Marshal(found)
	check(err)
	fmt.Println(string(text))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "limits:", err)
		os.Exit(1)
	}
}

func core(text string) int {
	number, err := strconv.Atoi(text)
	check(err)
	return number
}

// pin binds the calling goroutine's thread to a processor.
func pin(core int) {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(core)
	check(unix.SchedSetaffinity(0, &set))
}

func spreadOf(times []time.Duration) spread {
	slices.Sort(times)
	at := func(percent int) float64 { return float64(times[(len(times)-1)*percent/100]) * microsPerNano }
	return spread{at(50), at(highPercentile)}
}

// writes times a write and a flush to the device, one after the other, into a file that has its blocks.
func writes(folder string, size int) []time.Duration {
	path := filepath.Join(folder, "limits")
	check(os.WriteFile(path, make([]byte, fileBytes), 0o600))
	defer os.Remove(path)
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_DIRECT, 0)
	check(err)
	defer unix.Close(fd)
	check(unix.Fsync(fd))
	block, err := unix.Mmap(-1, 0, max(size, alignment), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	check(err)
	times := make([]time.Duration, 0, writesMax)
	for begun := time.Now(); len(times) < writesMax && time.Since(begun) < writesTime; {
		at := time.Now()
		_, err := unix.Pwrite(fd, block[:size], int64(len(times)*size%fileBytes))
		check(err)
		check(unix.Fdatasync(fd))
		times = append(times, time.Since(at))
	}
	return times
}

func memoryCopy() float64 {
	from, to := make([]byte, largeBytes), make([]byte, largeBytes)
	for at := range from {
		from[at] = byte(at)
	}
	copy(to, from)
	begun := time.Now()
	for range repeats {
		copy(to, from)
	}
	return repeats * largeBytes / gigabyte / time.Since(begun).Seconds()
}

func crc() float64 {
	table, data := crc32.MakeTable(crc32.Castagnoli), make([]byte, crcBytes)
	sum := uint32(0)
	begun := time.Now()
	for range crcRepeats {
		sum = crc32.Update(sum, table, data)
	}
	return crcRepeats * crcBytes / gigabyte / time.Since(begun).Seconds()
}

// connected runs a function with one end of a connection over the loopback on another processor; gives the other end.
func connected(core int, there func(fd int)) int {
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	check(err)
	defer unix.Close(listener)
	check(unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	check(unix.Listen(listener, 1))
	address, err := unix.Getsockname(listener)
	check(err)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	check(err)
	check(unix.Connect(fd, address))
	other, _, err := unix.Accept(listener)
	check(err)
	for _, end := range []int{fd, other} {
		check(unix.SetsockoptInt(end, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	}
	go func() {
		pin(core)
		there(other)
		unix.Close(other)
	}()
	return fd
}

// pingPong times a small message there and back.
func pingPong(core int) []time.Duration {
	fd := connected(core, func(fd int) {
		message := make([]byte, messageBytes)
		for {
			if got, err := unix.Read(fd, message); err != nil || got == 0 {
				return
			}
			_, err := unix.Write(fd, message)
			check(err)
		}
	})
	defer unix.Close(fd)
	message, times := make([]byte, messageBytes), make([]time.Duration, roundTrips)
	for nth := range times {
		at := time.Now()
		_, err := unix.Write(fd, message)
		check(err)
		_, err = unix.Read(fd, message)
		check(err)
		times[nth] = time.Since(at)
	}
	return times
}

// loopback sends as much as goes, 1 MiB at a time.
func loopback(core int) float64 {
	done := make(chan struct{})
	fd := connected(core, func(fd int) {
		buffer := make([]byte, 1<<20)
		for {
			if got, err := unix.Read(fd, buffer); err != nil || got == 0 {
				close(done)
				return
			}
		}
	})
	piece := make([]byte, 1<<20)
	begun := time.Now()
	for sent := 0; sent < loopbackBytes; {
		wrote, err := unix.Write(fd, piece)
		check(err)
		sent += wrote
	}
	unix.Close(fd)
	<-done
	return loopbackBytes / gigabyte / time.Since(begun).Seconds()
}
