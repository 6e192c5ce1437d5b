//! Trade-offs: one setting after the other is moved away from its shipped value, and the rest stays.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::report::Plot;

/// A setting and the values that it is given.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its name within its section.
    pub key: &'static str,
    /// What its numbers are, e.g. `seconds`.
    pub unit: &'static str,
    /// The values.
    pub values: Vec<f64>,
}

/// Around a shipped value, from a quarter to four times.
const AROUND: [f64; 7] = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0];

/// Settings of `config` by key and unit, each tried around its value there; shares stay within 1.
pub fn around<T: Serialize>(config: &T, settings: &[(&'static str, &'static str)]) -> Vec<Setting> {
    let shipped = serde_json::to_value(config).unwrap_or_default();
    let setting = |&(key, unit): &(&'static str, &'static str)| {
        let value = shipped.get(key)?.as_f64()?;
        let most = if unit == "share" { 1.0 } else { f64::INFINITY };
        let mut values: Vec<f64> = AROUND.iter().map(|k| (k * value).min(most)).collect();
        values.dedup();
        Some(Setting { key, unit, values })
    };
    settings.iter().filter_map(setting).collect()
}

/// `config` with one setting at another value; `None` where it has no such number.
pub fn with<T: Serialize + DeserializeOwned>(config: &T, key: &str, value: f64) -> Option<T> {
    let mut all = serde_json::to_value(config).ok()?;
    let place = all.as_object_mut()?.get_mut(key)?;
    *place = match place {
        Value::Number(n) if n.is_u64() => Value::from(value.round().max(0.0) as u64),
        Value::Number(_) => Value::from(value),
        _ => return None,
    };
    serde_json::from_value(all).ok()
}

/// A plot for each setting: `measure` gives one number for each of `lines`.
pub fn plots<T: Serialize + DeserializeOwned>(
    section: &str,
    about: &str,
    config: &T,
    settings: &[Setting],
    y: &'static str,
    lines: &[&str],
    mut measure: impl FnMut(&T) -> Vec<f64>,
) -> Vec<Plot> {
    let shipped = serde_json::to_value(config).unwrap_or_default();
    let mut plots = Vec::new();
    for setting in settings {
        let mut points: Vec<Vec<(f64, f64)>> = vec![Vec::new(); lines.len()];
        for &value in &setting.values {
            let Some(changed) = with(config, setting.key, value) else { continue };
            for (points, measured) in points.iter_mut().zip(measure(&changed)) {
                points.push((value, measured));
            }
        }
        plots.push(Plot {
            name: format!("{section}-{}", setting.key).replace(['.', '_'], "-"),
            title: format!("{about}: {section}.{}", setting.key),
            x: format!("{section}.{}, {}", setting.key, setting.unit),
            y,
            lines: lines.iter().map(|l| (*l).to_owned()).zip(points).collect(),
            chosen: shipped.get(setting.key).and_then(Value::as_f64),
        });
    }
    plots
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::tracking::TrackerConfig;

    #[test]
    fn one_setting_moves_and_the_rest_stays() {
        let shipped = TrackerConfig::default();
        let changed = with(&shipped, "gate", 3.0).unwrap();
        assert_eq!(changed, TrackerConfig { gate: 3.0, ..shipped.clone() });
        assert!(with(&shipped, "colour", 3.0).is_none());
        let settings = around(&shipped, &[("gate", "χ²"), ("confirm_share", "share")]);
        assert!(settings[1].values.iter().all(|v| *v <= 1.0));
        let plots = plots("tracking", "test", &shipped, &settings, "y", &["twice"], |c| vec![2.0 * c.gate]);
        assert_eq!(plots[0].chosen, Some(shipped.gate));
        assert!(plots[0].lines[0].1.iter().all(|(x, y)| *y == 2.0 * x));
        assert_eq!(plots[1].lines[0].1[0].1, 2.0 * shipped.gate);
    }
}
