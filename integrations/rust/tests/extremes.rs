//! Numbers that C has no room for, and budgets of all sizes, at each argument. TINS names the folder of tiny.tin.

use std::env;
use std::path::Path;
use std::time::Duration;
use tinsmith::{Model, Options, Sampling, Session, Step};

/// Steps of a budget to the end: how many, and the digest.
fn stepped(session: &mut Session, budget: Duration) -> (usize, u64) {
    session.forget(0).unwrap();
    session.ask("hello", 24).unwrap();
    let mut steps = 1;
    while !matches!(session.step(budget).unwrap(), Step::Done(_)) {
        steps += 1;
    }
    (steps, session.answer().digest)
}

#[test]
fn numbers_at_their_extremes() {
    let model = Model::open(Path::new(&env::var("TINS").unwrap()).join("tiny.tin")).unwrap();
    let mut session = model.session(Options { context: 256, ..Options::default() }).unwrap();
    session.constrained(false).unwrap();
    let (_, digest) = stepped(&mut session, Duration::ZERO);
    for budget in [Duration::MAX, Duration::from_micros(u64::MAX), Duration::from_secs(u64::MAX / 2)] {
        assert_eq!(stepped(&mut session, budget), (1, digest), "{budget:?}");
    }
    for budget in [Duration::from_nanos(1), Duration::from_nanos(999), Duration::from_nanos(1001)] {
        let (steps, same) = stepped(&mut session, budget);
        assert!(steps > 24 && same == digest, "{budget:?}: {steps} steps");
    }

    for odd in [3, 1 << 31, 1 << 32, usize::MAX] {
        assert!(session.forget(odd).is_err(), "{odd}");
    }
    for odd in [0, -1, i32::MIN] {
        assert!(session.begin(odd).is_err() && session.ask("again", odd).is_err(), "{odd}");
        assert!(session.duty_cycle(odd).is_err(), "{odd}");
    }
    for odd in [i32::MAX, -1, i32::MIN] {
        assert!(model.session(Options { threads: odd, ..Options::default() }).is_err(), "{odd}");
        assert!(model.session(Options { adapters: odd, ..Options::default() }).is_err(), "{odd}");
    }
    for odd in [u32::MAX, 1 << 31, 0] {
        assert!(session.pixels(&[0; 12], odd, 2, 3).is_err() && session.pixels(&[0; 12], 2, 2, odd).is_err(), "{odd}");
    }
    assert!(model.session(Options { most_bytes: i64::MIN, ..Options::default() }).is_err());
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -65536.0] {
        assert!(session.adapter("a", odd).is_err(), "{odd}");
        assert!(session.sampling(Sampling { temperature: odd, ..Sampling::default() }).is_err(), "{odd}");
        assert!(session.sampling(Sampling { top_p: odd, ..Sampling::default() }).is_err(), "{odd}");
        assert!(session.sampling(Sampling { repetition: odd, ..Sampling::default() }).is_err(), "{odd}");
    }
    session.adapter("a", 1e-60).unwrap(); // which is 0 in float32
    assert_eq!(session.messages().len(), 2);
    session.begin(i32::MAX).unwrap(); // as many as there is room for
    session.cancel();
    let lists: [&[&str]; 7] =
        [&[], &[""], &["yes", ""], &["", "yes"], &["yes", "", "no"], &["yes", "yes"], &["a\nb"]];
    for options in lists {
        assert!(session.choose(options).is_err(), "{options:?}");
    }
    assert_eq!(stepped(&mut session, Duration::ZERO).1, digest);
}
