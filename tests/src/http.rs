//! HTTP as a user of our binaries asks: /metrics, /readyz, /status.

use std::time::Duration;

use anyhow::Result;

/// GET of a path of `address`, which is `host:port`: status and body, whatever the status.
///
/// # Errors
/// Nobody answers within two seconds.
pub fn get(address: &str, path: &str) -> Result<(u16, String)> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(2)))
        .build()
        .into();
    let mut response = agent.get(format!("http://{address}{path}")).call()?;
    Ok((response.status().as_u16(), response.body_mut().read_to_string()?))
}
