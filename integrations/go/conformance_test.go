package tinsmith

// The cases of integrations/conformance: TINS names their folder, CONFORMANCE the file for what came of them.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

type answered struct {
	Text   string
	Tokens int
	Finish int
	Digest string
	Chosen *int
}

type testCase struct {
	Name     string
	Messages []struct{ Role, Content string }
	Most     int `json:"max_tokens"`
	Sampling *struct {
		Temperature, Repetition float64
		TopP                    float64 `json:"top_p"`
		Seed                    int64
	}
	Constrained *bool
	Adapter     string
	Options     []string
	Budget      int64 `json:"budget_us"`
	After       int   `json:"after_tokens"`
	Next        string
	File        string
	Image       string
	Pixels      string
	Text        string
	Width       int
	Height      int
	Right       string
	Wrong       string
	MostBytes   int64 `json:"most_bytes"`
	Expect      struct {
		answered
		Status int
		Says   string
	}
	Then *answered
}

type runner struct {
	tins, path string
	keys       map[string]string
	model      *Model
}

var (
	background = context.Background()
	room       = Options{Context: 512}
	roles      = map[string]Role{"system": System, "user": User, "assistant": Assistant, "tool": Tool}
)

func (r *runner) session(c *testCase) (*Session, error) {
	s, err := r.model.Session(room)
	if err != nil {
		return nil, err
	}
	for _, message := range c.Messages {
		err = errors.Join(err, s.Say(roles[message.Role], message.Content))
	}
	if c.Constrained != nil {
		err = errors.Join(err, s.Constrained(*c.Constrained))
	}
	if d := c.Sampling; d != nil {
		err = errors.Join(err, s.Sampling(Sampling{d.Temperature, d.TopP, d.Repetition, d.Seed}))
	}
	if c.Adapter != "" {
		err = errors.Join(err, s.Adapter(c.Adapter, 1))
	}
	return s, err
}

// answer is what comes in steps of a budget; 0: piece by piece.
func answer(s *Session, most int, budget time.Duration) (answered, error) {
	pieces := ""
	if budget == 0 {
		for piece, err := range s.Answers(background, most) {
			if err != nil {
				return answered{}, err
			}
			pieces += piece
		}
	} else if err := s.Begin(most); err != nil {
		return answered{}, err
	} else {
		for event := Pending; event != Done; {
			now, piece, err := s.Step(budget)
			if err != nil {
				return answered{}, err
			}
			event, pieces = now, pieces+piece
		}
	}
	return shown(s, pieces)
}

func shown(s *Session, pieces string) (answered, error) {
	a := s.Answer()
	if pieces != a.Text {
		return answered{}, fmt.Errorf("the pieces %q are not the answer %q", pieces, a.Text)
	}
	return answered{a.Text, a.Tokens, int(a.Finish), strconv.FormatInt(int64(a.Digest), 10), nil}, nil
}

func (r *runner) answers(c *testCase) (found answered, then *answered, err error) {
	s, err := r.session(c)
	if err != nil {
		return
	}
	defer s.Close()
	switch c.Name {
	case "choose":
		chosen, err := s.Choose(background, c.Options)
		if err != nil {
			return found, nil, err
		}
		found, err = shown(s, c.Options[chosen])
		found.Chosen = &chosen
		return found, nil, err
	case "cancel":
		ctx, cancel := context.WithCancel(background)
		for _, err = range s.Answers(ctx, c.Most) {
			if s.Answer().Tokens >= c.After {
				cancel()
			}
		}
		cancel()
		if !errors.Is(err, context.Canceled) {
			return found, nil, fmt.Errorf("it was not cancelled: %v", err)
		}
	}
	if found, err = answer(s, c.Most, time.Duration(c.Budget)*time.Microsecond); err != nil {
		return
	}
	var second answered
	switch c.Name {
	case "adapter":
		if err = errors.Join(s.Forget(len(c.Messages)), s.Adapter("", 0)); err == nil {
			second, err = answer(s, c.Most, 0)
			then = &second
		}
	case "restore":
		second, err = r.restored(s, c)
		then = &second
	}
	return
}

func (r *runner) restored(s *Session, c *testCase) (answered, error) {
	saved, err := s.Save()
	if err != nil {
		return answered{}, err
	}
	other, err := r.model.Session(room)
	if err != nil {
		return answered{}, err
	}
	defer other.Close()
	if err = errors.Join(other.Restore(saved), other.Say(User, c.Next)); err != nil {
		return answered{}, err
	}
	return answer(other, c.Most, 0)
}

// sessionOf opens the case's own file, for an image.
func (r *runner) sessionOf(c *testCase) (*Session, error) {
	model, err := Open(filepath.Join(r.tins, c.File))
	if err != nil {
		return nil, err
	}
	defer model.Close()
	return model.Session(room)
}

// withImage answers by the image's file, and by its pixels.
func (r *runner) withImage(c *testCase) (found answered, then *answered, err error) {
	file, err := os.ReadFile(filepath.Join(r.tins, c.Image))
	rgb, missing := os.ReadFile(filepath.Join(r.tins, c.Pixels))
	if err = errors.Join(err, missing); err != nil {
		return
	}
	ask := func(show func(*Session) error) (answered, error) {
		s, err := r.sessionOf(c)
		if err != nil {
			return answered{}, err
		}
		defer s.Close()
		if err = errors.Join(show(s), s.Say(User, c.Text)); err != nil {
			return answered{}, err
		}
		return answer(s, c.Most, 0)
	}
	if found, err = ask(func(s *Session) error { return s.Image(file) }); err != nil {
		return
	}
	second, err := ask(func(s *Session) error { return s.Pixels(rgb, c.Width, c.Height, 3) })
	return found, &second, err
}

func (r *runner) refused(c *testCase) error {
	switch c.Name {
	case "missing":
		_, err := Open(filepath.Join(r.tins, c.File))
		return err
	case "key":
		key := func(file string) Option { return WithKey(r.keys[strings.TrimSuffix(file, ".pub")]) }
		model, err := Open(r.path, key(c.Right))
		if err != nil {
			return err
		}
		model.Close()
		_, err = Open(r.path, key(c.Wrong))
		return err
	case "memory":
		_, err := r.model.Session(Options{MostBytes: c.MostBytes})
		return err
	}
	s, err := r.sessionOf(c)
	if err != nil {
		return err
	}
	defer s.Close()
	file, err := os.ReadFile(filepath.Join(r.tins, c.Image))
	if err != nil {
		return err
	}
	return s.Image(file)
}

func (r *runner) check(c *testCase) string {
	if c.Expect.Status != 0 {
		err := r.refused(c)
		if errors.Is(err, Status(c.Expect.Status)) && strings.Contains(err.Error(), c.Expect.Says) {
			return "passed"
		}
		return fmt.Sprintf("%v is not %d, %q", err, c.Expect.Status, c.Expect.Says)
	}
	answers, wanted := r.answers, c.Then
	if c.Name == "image" {
		answers, wanted = r.withImage, &c.Expect.answered
	}
	found, then, err := answers(c)
	if err != nil {
		return err.Error()
	}
	if !reflect.DeepEqual(found, c.Expect.answered) || !reflect.DeepEqual(then, wanted) {
		return fmt.Sprintf("%+v, then %+v", found, then)
	}
	return "passed"
}

func tins(t *testing.T) string {
	folder := os.Getenv("TINS")
	if folder == "" {
		t.Fatal("TINS names the folder of cases.json")
	}
	return folder
}

func TestTheCases(t *testing.T) {
	var given struct {
		Files, Keys map[string]string
		Cases       []testCase
	}
	folder := tins(t)
	text, err := os.ReadFile(filepath.Join(folder, "cases.json"))
	if err == nil {
		err = json.Unmarshal(text, &given)
	}
	path := filepath.Join(folder, given.Files["plain"])
	model, opened := Open(path)
	if err = errors.Join(err, opened); err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	r := &runner{folder, path, given.Keys, model}
	results := map[string]string{}
	for k := range given.Cases {
		name := given.Cases[k].Name
		if results[name] = r.check(&given.Cases[k]); results[name] != "passed" {
			t.Errorf("%s: %s", name, results[name])
		}
	}
	if len(results) == 0 {
		t.Error("there are no cases")
	}
	if out := os.Getenv("CONFORMANCE"); out != "" {
		text, _ := json.Marshal(map[string]any{"host": "go", "version": runtime.Version(), "cases": results})
		if err := os.WriteFile(out, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSessionsOutliveTheirModelAndAreCollected(t *testing.T) {
	file, err := os.ReadFile(filepath.Join(tins(t), "tiny.tin"))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		model, err := OpenBytes(file)
		if err != nil {
			t.Fatal(err)
		}
		session, err := model.Session(Options{Context: 128})
		if err != nil {
			t.Fatal(err)
		}
		model.Close()
		model.Close()
		if _, err = model.Session(Options{}); !errors.Is(err, ErrState) {
			t.Fatal(err)
		}
		for _, err := range session.Ask(background, "hello", 8) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if messages := session.Messages(); len(messages) != 2 || messages[0] != (Message{User, "hello"}) {
			t.Fatal(messages)
		}
		runtime.GC() // which closes the sessions of the rounds before
	}
}

func TestALoopThatIsLeftDropsItsAnswer(t *testing.T) {
	model, err := Open(filepath.Join(tins(t), "tiny.tin"))
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	session, err := model.Session(room)
	if err != nil {
		t.Fatal(err)
	}
	for range session.Ask(background, "hello", 64) {
		break
	}
	if err := session.Say(User, "again"); err != nil {
		t.Error(err)
	}
	if err := session.Say(User, "a\x00b"); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	session.Close()
	if err := session.Say(User, "again"); !errors.Is(err, ErrState) {
		t.Error(err)
	}
}
