//! The assignment problem.

/// Which column each row gets so that the sum of costs is least; every row gets at most one column and the other way round.
///
/// `cost` is `[rows][columns]`, finite; pairs that must not be are given a great cost and dropped by the caller. With
/// more rows than columns some rows get `None`. O(n²m) time.
///
/// Source: Kuhn, "The Hungarian method for the assignment problem", 1955, in the form with potentials and shortest
/// augmenting paths (Jonker and Volgenant, 1987).
pub fn assign(cost: &[Vec<f64>]) -> Vec<Option<usize>> {
    let rows = cost.len();
    let columns = cost.first().map_or(0, Vec::len);
    if rows == 0 || columns == 0 {
        return vec![None; rows];
    }
    if rows > columns {
        let transposed: Vec<Vec<f64>> =
            (0..columns).map(|c| cost.iter().map(|row| row[c]).collect()).collect();
        let mut out = vec![None; rows];
        for (column, row) in assign(&transposed).into_iter().enumerate() {
            if let Some(row) = row {
                out[row] = Some(column);
            }
        }
        return out;
    }
    // Index 0 of each is a sentinel: `owner[j]` is the row (from 1) that holds column j (from 1).
    let mut row_potential = vec![0.0; rows + 1];
    let mut column_potential = vec![0.0; columns + 1];
    let mut owner = vec![0usize; columns + 1];
    let mut previous = vec![0usize; columns + 1];
    for row in 1..=rows {
        owner[0] = row;
        let mut at = 0;
        let mut least = vec![f64::INFINITY; columns + 1];
        let mut done = vec![false; columns + 1];
        while owner[at] != 0 {
            done[at] = true;
            let current = owner[at];
            let (mut step, mut next) = (f64::INFINITY, 0);
            for column in 1..=columns {
                if done[column] {
                    continue;
                }
                let reduced =
                    cost[current - 1][column - 1] - row_potential[current] - column_potential[column];
                if reduced < least[column] {
                    least[column] = reduced;
                    previous[column] = at;
                }
                if least[column] < step {
                    step = least[column];
                    next = column;
                }
            }
            for column in 0..=columns {
                if done[column] {
                    row_potential[owner[column]] += step;
                    column_potential[column] -= step;
                } else {
                    least[column] -= step;
                }
            }
            at = next;
        }
        while at != 0 {
            owner[at] = owner[previous[at]];
            at = previous[at];
        }
    }
    let mut out = vec![None; rows];
    for column in 1..=columns {
        if owner[column] > 0 {
            out[owner[column] - 1] = Some(column - 1);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// Tries every way to give rows to columns.
    fn best(cost: &[Vec<f64>], row: usize, used: &mut Vec<bool>, must: usize) -> f64 {
        let Some(line) = cost.get(row) else { return if must == 0 { 0.0 } else { f64::INFINITY } };
        let mut least = f64::INFINITY;
        if cost.len() - row > must {
            least = best(cost, row + 1, used, must);
        }
        for column in 0..line.len() {
            if must > 0 && !used[column] {
                used[column] = true;
                least = least.min(line[column] + best(cost, row + 1, used, must - 1));
                used[column] = false;
            }
        }
        least
    }

    proptest! {
        #[test]
        fn nothing_is_cheaper(
            (rows, columns) in (1usize..6, 1usize..6),
            values in prop::collection::vec(-10.0..10.0f64, 36),
        ) {
            let cost: Vec<Vec<f64>> =
                (0..rows).map(|r| (0..columns).map(|c| values[r * 6 + c]).collect()).collect();
            let got = assign(&cost);
            let mut taken: Vec<usize> = got.iter().flatten().copied().collect();
            let total: f64 = got.iter().enumerate().filter_map(|(r, c)| c.map(|c| cost[r][c])).sum();
            let pairs = taken.len();
            taken.sort_unstable();
            taken.dedup();
            prop_assert_eq!(taken.len(), pairs);
            prop_assert_eq!(pairs, rows.min(columns));
            let least = best(&cost, 0, &mut vec![false; columns], rows.min(columns));
            prop_assert!((total - least).abs() < 1e-9, "{} instead of {}", total, least);
        }
    }
}
