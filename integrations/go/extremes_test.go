package tinsmith

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestExtremes gives numbers that C has no room for, and budgets of all sizes, at each argument.
func TestExtremes(t *testing.T) {
	model, err := Open(filepath.Join(os.Getenv("TINS"), "tiny.tin"))
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	s, err := model.Session(Options{Context: 256})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err = s.Constrained(false); err != nil {
		t.Fatal(err)
	}
	stepped := func(budget time.Duration) (steps int, digest uint64) {
		if err := errors.Join(s.Forget(0), s.BeginAsk("hello", 24)); err != nil {
			t.Fatal(err)
		}
		for event := Pending; event != Done; steps++ {
			if event, _, err = s.Step(budget); err != nil || event == Idle {
				t.Fatal(event, err)
			}
		}
		return steps, s.Answer().Digest
	}
	_, digest := stepped(0)
	for _, budget := range []time.Duration{math.MaxInt64, math.MaxInt64 - 1, 1 << 60} {
		if steps, same := stepped(budget); steps != 1 || same != digest {
			t.Errorf("%d: %d steps", budget, steps)
		}
	}
	for _, budget := range []time.Duration{math.MinInt64, -time.Second, -1, 1, 999, 1001} {
		if steps, same := stepped(budget); steps <= 24 || same != digest {
			t.Errorf("%d: %d steps", budget, steps)
		}
	}

	refused := func(what string, odd any, err error) {
		var wrong *Error
		if !errors.As(err, &wrong) {
			t.Errorf("%s of %v: %v", what, odd, err)
		}
	}
	for _, odd := range []int{math.MaxInt64, 1 << 32, 1<<32 + 1, 1 << 31, -1, -1 << 32, math.MinInt64} {
		refused("Forget", odd, s.Forget(odd))
		refused("DutyCycle", odd, s.DutyCycle(odd))
		_, err := model.Session(Options{Threads: odd})
		refused("Threads", odd, err)
		refused("width", odd, s.Pixels(make([]byte, 12), odd, 2, 3))
		refused("channels", odd, s.Pixels(make([]byte, 12), 2, 2, odd))
		_, err = model.Session(Options{Adapters: odd})
		refused("Adapters", odd, err)
	}
	for _, odd := range []int{0, -1, -1 << 32, math.MinInt64} {
		refused("Begin", odd, s.Begin(odd))
		refused("BeginAsk", odd, s.BeginAsk("again", odd))
	}
	for _, odd := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e300, -65536} {
		refused("Adapter", odd, s.Adapter("a", odd))
		refused("Temperature", odd, s.Sampling(Sampling{Temperature: odd}))
		refused("TopP", odd, s.Sampling(Sampling{TopP: odd}))
		refused("Repetition", odd, s.Sampling(Sampling{Repetition: odd}))
	}
	_, err = model.Session(Options{MostBytes: math.MinInt64})
	refused("MostBytes", math.MinInt64, err)
	if len(s.Messages()) != 2 {
		t.Errorf("%d messages are left", len(s.Messages()))
	}
	if err = s.Begin(1 << 32); err != nil { // as many as there is room for
		t.Error(err)
	}
	s.Cancel()
	for _, options := range [][]string{{}, {""}, {"yes", ""}, {"", "yes"}, {"yes", "", "no"}, {"yes", "yes"}, {"a\nb"}} {
		_, err = s.Choose(context.Background(), options)
		refused("Choose", options, err)
	}
	if _, same := stepped(0); same != digest {
		t.Error("the answer is another")
	}
}
