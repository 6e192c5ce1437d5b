//! Small networks trained alike on different hardware, or shown different parts of the input: what each is worth.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Progress, SceneGroup, TrainConfig, TrainError, run_with_scenes, scenes};
use crate::{
    evaluate::{self, ByCount},
    input::Withheld,
    predictor::{DeviceChoice, Predictor, Weights},
    sim::{Radios, Split},
    weights,
};

/// A study, as read from TOML.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// The training that is varied; every network is trained with the same number of steps.
    pub base: TrainConfig,
    /// Test scenes, with the radios of each variant.
    pub test: Vec<SceneGroup>,
    /// What is varied.
    #[serde(rename = "variant")]
    pub variants: Vec<Variant>,
}

/// One network of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its name, also that of its folder: letters, digits and dashes.
    pub name: String,
    /// The curves that it is a point of, and where on them.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub at: std::collections::BTreeMap<String, f64>,
    /// Its radios.
    #[serde(default, skip_serializing_if = "Radios::are_the_scenes_own")]
    pub radios: Radios,
    /// What it is not shown.
    #[serde(default, skip_serializing_if = "Withheld::is_nothing")]
    pub withheld: Withheld,
    /// As [`super::DataConfig::join`], where it differs from the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<f64>,
}

/// What became of a variant.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The variant.
    #[serde(flatten)]
    pub variant: Variant,
    /// Scores on the test scenes by number of people.
    pub persons: std::collections::BTreeMap<String, ByCount>,
}

impl Study {
    /// Reads a study.
    ///
    /// # Errors
    /// When it is no TOML, has unknown or missing keys, or values that make no sense.
    pub fn from_toml(text: &str) -> Result<Self, TrainError> {
        let study: Self = toml::from_str(text).map_err(|e| TrainError::Config(e.to_string()))?;
        let fail = |what: String| Err(TrainError::Config(what));
        if study.variants.is_empty() || study.test.is_empty() {
            return fail("variant and test: at least one of each".into());
        }
        for (i, variant) in study.variants.iter().enumerate() {
            let name = &variant.name;
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if name.is_empty() || name.len() > 64 || !plain {
                return fail(format!("variant.name {name:?}: letters, digits and dashes"));
            }
            if study.variants[..i].iter().any(|other| other.name == *name) {
                return fail(format!("two variants are called {name:?}"));
            }
            study.config(variant).check()?;
        }
        // Test scenes obey the rules of the others.
        let mut test = study.base.clone();
        test.data.validation = study.test.clone();
        test.check()?;
        Ok(study)
    }

    /// The training of a variant.
    pub fn config(&self, variant: &Variant) -> TrainConfig {
        let mut config = self.base.clone();
        config.name = variant.name.clone();
        config.data.radios = variant.radios.clone();
        config.data.withheld = variant.withheld.clone();
        config.data.join = variant.join.unwrap_or(config.data.join);
        config
    }

    /// Trains a variant in a folder of its own within `folder`, unless its weights are there, and tries it on the test
    /// scenes. Scenes are shared by the variants. `commit` goes into the model card.
    ///
    /// # Errors
    /// As [`super::run`].
    pub fn run(
        &self,
        variant: &Variant,
        folder: &Path,
        commit: &str,
        mut progress: impl FnMut(Progress) -> bool + Send,
    ) -> Result<Row, TrainError> {
        let config = self.config(variant);
        let (own, shared) = (folder.join(&variant.name), folder.join("scenes"));
        let bytes = match finished(&config, &own) {
            Some(bytes) => bytes,
            None => {
                run_with_scenes(&config, Vec::new(), &own, &shared, commit, DeviceChoice::Cpu, &mut progress)?
                    .weights
            }
        };
        let test = scenes::make(&config.data, &self.test, Split::Test, &shared, &mut progress)?
            .ok_or(TrainError::Stopped(0))?;
        let test: Vec<_> = test.into_iter().flatten().collect();
        let failed = |e: String| TrainError::Device(e);
        let predictor =
            Predictor::load(&Weights::Bytes(bytes), DeviceChoice::Cpu).map_err(|e| failed(e.to_string()))?;
        let persons =
            evaluate::scores(&predictor, &test, &config.data.withheld).map_err(|e| failed(e.to_string()))?;
        Ok(Row { variant: variant.clone(), persons })
    }
}

/// The weights in the folder, if exactly this training made them.
fn finished(config: &TrainConfig, folder: &Path) -> Option<Vec<u8>> {
    let bytes = std::fs::read(folder.join("weights.safetensors")).ok()?;
    let card = weights::read_card(&bytes).ok()?;
    (TrainConfig::from_toml(&card.config).ok()? == *config).then_some(bytes)
}
