//! Variants: one file, several scenarios that differ in a few keys. The tables of a variant are laid over those of the file.

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::text::Text;
use super::{BadScenario, check_shown};

/// What a file says, once for each of its variants; once, without a name, if it has none.
pub(super) fn read(text: &str) -> Result<Vec<(Option<String>, Text)>, BadScenario> {
    let mut root = DeTable::parse(text).map_err(|error| BadScenario::new(text, &error))?;
    let key = root.get_ref().keys().find(|key| key.get_ref() == "variant").cloned();
    let variants = key.and_then(|key| root.get_mut().remove(&key));
    let Some(variants) = variants else { return Ok(vec![(None, one(text, root)?)]) };
    let span = variants.span();
    let DeValue::Table(variants) = variants.into_inner() else {
        return Err(BadScenario::at(text, span, "write variants as tables: [variant.NAME]"));
    };
    let mut read = Vec::new();
    for (name, variant) in variants {
        check_shown(text, name.span(), name.get_ref())?;
        let span = variant.span();
        let DeValue::Table(changes) = variant.into_inner() else {
            return Err(BadScenario::at(text, span, "write a variant as a table: [variant.NAME]"));
        };
        let mut whole = root.clone();
        lay_over(whole.get_mut(), changes);
        read.push((Some(name.into_inner().into_owned()), one(text, whole)?));
    }
    Ok(read)
}

fn one(text: &str, root: Spanned<DeTable<'_>>) -> Result<Text, BadScenario> {
    Text::deserialize(Deserializer::from(root)).map_err(|error| BadScenario::new(text, &error))
}

/// Tables are laid over tables; anything else takes the place of what was.
fn lay_over<'i>(under: &mut DeTable<'i>, over: DeTable<'i>) {
    for (key, value) in over {
        let table = matches!(value.get_ref(), DeValue::Table(_));
        match under.get_mut(&key).map(Spanned::get_mut) {
            Some(DeValue::Table(below)) if table => {
                if let DeValue::Table(above) = value.into_inner() {
                    lay_over(below, above);
                }
            }
            _ => {
                under.insert(key, value);
            }
        }
    }
}
