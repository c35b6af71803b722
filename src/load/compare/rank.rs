//! The rank test of Mann and Whitney (1947), exact: whether two small samples differ.

/// Runs of a side below which no difference can be significant at 5 %.
const RUNS_MIN: usize = 4;

/// Runs of a side up to which it is counted out.
const RUNS_MAX: usize = 40;

/// The chance of a difference at least as large if there were none, two-sided; `None` with too few or too many runs.
#[must_use]
pub fn p_value(a: &[f64], b: &[f64]) -> Option<f64> {
    let sizes = [a.len(), b.len()];
    if sizes.iter().any(|size| !(RUNS_MIN..=RUNS_MAX).contains(size)) {
        return None;
    }
    // Pairs in which a's value is the larger; equal ones count half.
    let twice: usize = a
        .iter()
        .flat_map(|x| {
            b.iter().map(move |y| if x > y { 2 } else { usize::from((x - y).abs() < f64::EPSILON) })
        })
        .sum();
    let pairs = a.len() * b.len();
    // Half a pair is counted in favour of "no difference".
    let smaller = twice.min(2 * pairs - twice).div_ceil(2);
    let ways = ways(a.len(), b.len());
    let all: f64 = ways.iter().sum();
    let below: f64 = ways[..=smaller].iter().sum();
    Some((2.0 * below / all).min(1.0))
}

/// How many orders of `n` and `m` values have each number of such pairs.
fn ways(n: usize, m: usize) -> Vec<f64> {
    // ways[i][u] for the first i values of one side among j of the other, j growing.
    let mut table: Vec<Vec<f64>> = (0..=n).map(|_| vec![1.0]).collect();
    for j in 1..=m {
        let mut next: Vec<Vec<f64>> = vec![vec![1.0]];
        for i in 1..=n {
            // The largest value is one of the first side (above j others) or of the second.
            let mut counts = vec![0.0; i * j + 1];
            next[i - 1].iter().enumerate().for_each(|(u, count)| counts[u + j] += count);
            table[i].iter().enumerate().for_each(|(u, count)| counts[u] += count);
            next.push(counts);
        }
        table = next;
    }
    table.swap_remove(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_those_of_the_tables() {
        assert!((ways(3, 3).iter().sum::<f64>() - 20.0).abs() < 1e-9);
        assert_eq!(ways(2, 2), [1.0, 1.0, 2.0, 1.0, 1.0]);
        let p = p_value(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]).unwrap();
        assert!((p - 2.0 / 252.0).abs() < 1e-9, "{p}");
        // Critical value of U for 5 and 5 at 5 %, two-sided: 2.
        assert!(p_value(&[1.0, 2.0, 3.0, 4.0, 7.5], &[5.0, 6.0, 8.0, 9.0, 10.0]).unwrap() < 0.05);
        assert!(p_value(&[1.0, 2.0, 3.0, 4.0, 8.5], &[5.0, 6.0, 8.0, 9.0, 10.0]).unwrap() > 0.05);
    }

    #[test]
    fn alike_is_alike_and_few_runs_say_nothing() {
        assert_eq!(p_value(&[1.0; 5], &[1.0; 5]), Some(1.0));
        assert_eq!(p_value(&[1.0; 3], &[9.0; 5]), None);
    }
}
