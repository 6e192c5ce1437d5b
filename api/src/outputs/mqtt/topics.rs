//! Topics, as section 4 of the API contract lists them, behind the prefix of a site.

/// Stands for the site in a prefix.
pub const SITE: &str = "{site}";

/// Where things are published and commands are heard.
#[derive(Clone, Debug)]
pub(crate) struct Topics {
    prefix: String,
}

impl Topics {
    /// `prefix` may name the site by [`SITE`].
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.trim_matches('/').to_owned() }
    }

    /// Everything of a site.
    pub(crate) fn site(&self, site: &str, topic: &str) -> String {
        join(&self.prefix.replace(SITE, site), topic)
    }

    /// Everything of the whole system: the prefix up to the site.
    pub(crate) fn system(&self, topic: &str) -> String {
        let root = self.prefix.split(SITE).next().unwrap_or_default();
        join(root.trim_end_matches('/'), topic)
    }
}

fn join(prefix: &str, topic: &str) -> String {
    if prefix.is_empty() { topic.to_owned() } else { format!("{prefix}/{topic}") }
}

/// May this be a prefix? Topics hold no wildcards, and `$` begins the broker's own.
pub(crate) fn is_prefix(prefix: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    prefix.replace(SITE, "").chars().all(fits) && prefix.len() <= 200 && !prefix.contains("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_name_the_site() {
        let bare = Topics::new("");
        assert_eq!(bare.site("lab", "pose/current"), "pose/current");
        assert_eq!(bare.system("system/status"), "system/status");
        let each = Topics::new("home/{site}");
        assert_eq!(each.site("lab", "pose/current"), "home/lab/pose/current");
        assert_eq!(each.system("system/status"), "home/system/status");
        assert_eq!(Topics::new("{site}/").site("lab", "a"), "lab/a");
        assert_eq!(Topics::new("{site}").system("a"), "a");
        assert!(is_prefix("home/{site}/x") && is_prefix(""));
        for wrong in ["#", "a/+", "$SYS", "a//b", "a b", "{zone}"] {
            assert!(!is_prefix(wrong), "{wrong}");
        }
    }
}
