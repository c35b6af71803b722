package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// lateness above which the load was made too late for its figures to say anything of the server.
const lagMax = int64(time.Millisecond)

// measures are histograms by name, and counts of what was measured.
type measures struct {
	hists    map[string]*hdrhistogram.Histogram
	acked    int64
	received int64
	lock     *sync.Mutex
}

func newMeasures() measures {
	hists := map[string]*hdrhistogram.Histogram{}
	for _, name := range []string{"service", "ack", "e2e", "lag"} {
		hists[name] = hdrhistogram.New(100, int64(time.Hour), 3)
	}
	return measures{hists: hists, lock: &sync.Mutex{}}
}

func (m *measures) record(name string, ns int64) { _ = m.hists[name].RecordValue(max(ns, 0)) }

func (m *measures) add(other measures) {
	for name, hist := range other.hists {
		m.hists[name].Merge(hist)
	}
	m.acked += other.acked
	m.received += other.received
}

// usage is what a server has used.
type usage struct {
	CPUSeconds float64 `json:"cpu_seconds"`
	PerGB      float64 `json:"cpu_seconds_per_gb"`
	RSS        uint64  `json:"rss_bytes"`
}

type flow struct {
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
}

// phase has the fields of ringlog-load's phases that perf/compare reads.
type phase struct {
	Seconds   float64                     `json:"seconds"`
	Acked     flow                        `json:"acked"`
	Received  flow                        `json:"received"`
	Latencies map[string]map[string]int64 `json:"latencies"`
	Saturated *string                     `json:"saturated"`
	Broker    *usage                      `json:"broker"`
}

type result struct {
	Phases []phase  `json:"phases"`
	Exit   string   `json:"exit"`
	Line   []string `json:"command"`
	hists  map[string]*hdrhistogram.Histogram
}

func newResult(o options, found measures, seconds float64, used *usage) result {
	size := int64(o.size)
	made := phase{
		Seconds:   seconds,
		Acked:     flow{found.acked, found.acked * size},
		Received:  flow{found.received, found.received * size},
		Latencies: map[string]map[string]int64{},
		Broker:    used,
	}
	for name, hist := range found.hists {
		if hist.TotalCount() == 0 {
			continue
		}
		made.Latencies[name] = map[string]int64{
			"count": hist.TotalCount(), "p50_ns": hist.ValueAtQuantile(50), "p99_ns": hist.ValueAtQuantile(99),
			"p999_ns": hist.ValueAtQuantile(99.9), "max_ns": hist.Max(),
		}
	}
	lag, ack := found.hists["lag"].ValueAtQuantile(99), found.hists["ack"].ValueAtQuantile(99)
	if lag > lagMax && lag > ack/4 {
		why := fmt.Sprintf("p99 of the send lag is %v", time.Duration(lag))
		made.Saturated = &why
	}
	if used != nil && made.Acked.Bytes+made.Received.Bytes > 0 {
		used.PerGB = used.CPUSeconds / (float64(made.Acked.Bytes+made.Received.Bytes) / 1e9)
	}
	return result{Phases: []phase{made}, Exit: "Good", Line: os.Args, hists: found.hists}
}

func (r result) write(out string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if out == "" {
		fmt.Println(string(text))
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	for name, hist := range r.hists {
		if hist.TotalCount() == 0 {
			continue
		}
		var table bytes.Buffer
		if _, err := hist.PercentilesPrint(&table, 5, 1e6); err != nil {
			return err
		}
		if err := os.WriteFile(out+"."+name+".hgrm", table.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(out+".json", append(text, '\n'), 0o644)
}

// watched looks at a process when the measured part begins; the function looks again.
func watched(pid int, measured span) func() *usage {
	if pid == 0 {
		return func() *usage { return nil }
	}
	first, took := make(chan usage, 1), make(chan usage, 1)
	go func() {
		time.Sleep(time.Duration(measured.from - now()))
		first <- look(pid)
		if measured.to > measured.from {
			time.Sleep(time.Duration(measured.to - now()))
			took <- look(pid)
		}
	}()
	return func() *usage {
		before := <-first
		var after usage
		if measured.to > measured.from && now() >= measured.to {
			after = <-took
		} else {
			after = look(pid)
		}
		after.CPUSeconds -= before.CPUSeconds
		return &after
	}
}

// look reads /proc: time in ticks of 10 ms, memory in kB.
func look(pid int) usage {
	var found usage
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) > 12 {
		user, _ := strconv.ParseFloat(fields[11], 64)
		system, _ := strconv.ParseFloat(fields[12], 64)
		found.CPUSeconds = (user + system) / 100
	}
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if kib, is := strings.CutPrefix(line, "VmRSS:"); is {
			number, _ := strconv.ParseUint(strings.Fields(kib)[0], 10, 64)
			found.RSS = number * 1024
		}
	}
	return found
}
