//! Work in pieces on several threads, answered in the order of the pieces.

use std::sync::atomic::{AtomicUsize, Ordering};

/// `work` of every piece `0..pieces`; which thread does which piece is not told by the answer.
pub(crate) fn map<T: Send>(
    n_threads: usize,
    pieces: usize,
    work: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    if n_threads <= 1 || pieces <= 1 {
        return (0..pieces).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let labour = || {
        let mut done = Vec::new();
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if pieces <= piece {
                return done;
            }
            done.push((piece, work(piece)));
        }
    };
    let mut done = std::thread::scope(|scope| {
        let hands: Vec<_> = (1..n_threads.min(pieces))
            .map(|_| scope.spawn(labour))
            .collect();
        let mut done = labour();
        for hand in hands {
            match hand.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(piece, _)| *piece);
    done.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn answers_stand_in_the_order_of_the_pieces() {
        for n_threads in [1, 2, 5] {
            let found = super::map(n_threads, 1_000, |it| it * it);
            let expected: Vec<usize> = (0..1_000).map(|it| it * it).collect();
            assert_eq!(found, expected);
        }
        assert!(super::map(3, 0, |it| it).is_empty());
    }
}
