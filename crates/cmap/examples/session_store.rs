//! A session store: a limit that holds, sessions that are prolonged while others are swept out, and no lock anywhere.
//!
//! `cargo run -p cmap-bytes --example session_store` plays a day of it and checks what it sees.

use cmap::{CMap, Changed, Error, Op};
use std::{
    thread,
    time::{Duration, SystemTime},
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a client sends with every request: 16 bytes that nobody can guess.
type Token = [u8; 16];

/// Sessions by token. A value is the second at which the session ends, 8 bytes big-endian, and then the user's bytes.
struct Sessions {
    map: CMap,
    lifetime: Duration,
}

impl Sessions {
    /// # Errors
    /// As `Builder::build`.
    fn new(max_bytes: usize, lifetime: Duration) -> Result<Self, Error> {
        let map = CMap::builder().max_bytes(max_bytes).build()?;
        Ok(Self { map, lifetime })
    }

    /// Begins a session. At the limit, sessions that are over make room first.
    ///
    /// # Errors
    /// `Error::Full` if all that fill the store are still going on: turn the client away, or end some.
    fn begin(&self, user: &[u8], now: SystemTime) -> Result<Token, Failure> {
        let mut token = Token::default();
        getrandom::fill(&mut token)?;
        let value = [&seconds(now + self.lifetime).to_be_bytes()[..], user].concat();
        // A token that exists already would hand one user's session to another.
        let begun = match self.map.insert_if_absent(&token, &value) {
            Err(Error::Full { .. }) if self.sweep(now) > 0 => {
                self.map.insert_if_absent(&token, &value)
            }
            other => other,
        }?;
        match begun {
            Changed::Inserted => Ok(token),
            _ => Err("the system's random numbers repeat".into()),
        }
    }

    /// Whose session it is, if it is still going on.
    fn user(&self, token: &Token, now: SystemTime) -> Option<Vec<u8>> {
        self.map
            .get_with(token, |value| going_on(value, now).map(<[u8]>::to_vec))?
    }

    /// Prolongs a session. Returns whether it is still going on: one that was ended meanwhile does not come back.
    ///
    /// # Errors
    /// Those of every write; the session is then as it was.
    fn prolong(&self, token: &Token, now: SystemTime) -> Result<bool, Error> {
        let end = seconds(now + self.lifetime).to_be_bytes();
        let changed = self.map.compute(token, |value| {
            match value.and_then(|value| going_on(value, now)) {
                Some(user) => Op::Put([&end[..], user].concat()),
                None => Op::Keep,
            }
        })?;
        Ok(changed == Changed::Replaced)
    }

    /// Ends a session. Cannot fail.
    fn end(&self, token: &Token) -> bool {
        self.map.remove(token)
    }

    /// Removes the sessions that are over, and returns how many they were. Call it every few minutes, from any thread: requests
    /// go on, and a session that is prolonged at the same instant stays, since only the value that was judged is removed.
    fn sweep(&self, now: SystemTime) -> usize {
        self.map.retain(|_, value| going_on(value, now).is_some())
    }
}

/// The user of a session that is not over.
fn going_on(value: &[u8], now: SystemTime) -> Option<&[u8]> {
    let (end, user) = value.split_first_chunk()?;
    (u64::from_be_bytes(*end) > seconds(now)).then_some(user)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn main() -> Result<(), Failure> {
    const LIMIT: usize = 16 << 20;
    const HOUR: Duration = Duration::from_secs(3600);
    let sessions = &Sessions::new(LIMIT, HOUR)?;
    let morning = SystemTime::now();

    // Four workers, each with users of its own.
    let mut tokens = thread::scope(|scope| {
        let begin = |worker: usize| {
            move || {
                (0..2_000)
                    .map(|n| {
                        let user = format!("user {worker}/{n}").into_bytes();
                        Ok((sessions.begin(&user, morning)?, user))
                    })
                    .collect::<Result<Vec<_>, Failure>>()
            }
        };
        let workers: Vec<_> = (0..4).map(|n| scope.spawn(begin(n))).collect();
        workers.into_iter().try_fold(Vec::new(), |mut all, worker| {
            all.extend(worker.join().map_err(|_| "a worker panicked")??);
            Ok::<_, Failure>(all)
        })
    })?;
    for (token, user) in &tokens {
        assert_eq!(sessions.user(token, morning).as_ref(), Some(user));
    }
    assert_eq!(sessions.user(&Token::default(), morning), None);

    // Half of them are prolonged while a sweep is going on; an hour after the morning the others are over.
    let (later, evening) = (morning + HOUR / 2, morning + HOUR);
    let leavers = tokens.split_off(tokens.len() / 2);
    thread::scope(|scope| {
        scope.spawn(|| (0..10).for_each(|_| assert_eq!(sessions.sweep(later), 0)));
        tokens
            .iter()
            .try_for_each(|(token, _)| match sessions.prolong(token, later)? {
                true => Ok::<_, Failure>(()),
                false => Err("a session that was going on is gone".into()),
            })
    })?;
    assert!(
        leavers
            .iter()
            .all(|(token, _)| sessions.user(token, evening).is_none())
    );
    assert_eq!(sessions.sweep(evening), leavers.len());
    assert!(
        !sessions.prolong(&leavers[0].0, evening)?,
        "it would come back"
    );
    for (token, user) in &tokens {
        assert_eq!(sessions.user(token, evening).as_ref(), Some(user));
    }
    assert!(sessions.end(&tokens[0].0) && !sessions.end(&tokens[0].0));

    // A flood fills the store up to its limit and not beyond; when it is over, there is room again.
    let user = vec![b'x'; 2_000];
    let refused = loop {
        if let Err(refused) = sessions.begin(&user, evening) {
            break refused;
        }
    };
    println!("{} sessions, then: {refused}", sessions.map.len());
    assert!(matches!(refused.downcast_ref(), Some(Error::Full { .. })));
    assert!(sessions.map.memory().total() <= LIMIT);
    let night = evening + HOUR;
    let token = sessions.begin(&user, night)?;
    assert_eq!(sessions.user(&token, night), Some(user));
    println!(
        "{} session at night, {:?}",
        sessions.map.len(),
        sessions.map.memory()
    );
    assert_eq!(sessions.map.len(), 1);
    Ok(())
}
