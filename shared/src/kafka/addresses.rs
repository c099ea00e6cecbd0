//! Addresses of brokers, as `bootstrap.servers` lists them.

/// What is wrong with a list of `host:port`, if anything is. librdkafka takes the last 16 bits of a larger port.
#[must_use]
pub fn problem(servers: &str) -> Option<String> {
    let wrong = |server: &&str| {
        let address = server.rsplit_once("://").map_or(*server, |(_, address)| address);
        let port = match address.rsplit_once(']') {
            Some((_, rest)) => rest.strip_prefix(':'),
            None => address.split_once(':').map(|(_, port)| port),
        };
        port.is_some_and(|port| port.parse::<u16>().unwrap_or(0) == 0)
    };
    if servers.split(',').all(|server| server.trim().is_empty()) {
        return Some("names no broker: host:port, or several with commas between them".to_owned());
    }
    let server = servers.split(',').map(str::trim).find(wrong)?;
    if server.contains('@') {
        // It may be a password, which is not printed.
        return Some("has a login: set sasl.username and sasl.password_file in kafka.properties".to_owned());
    }
    Some(format!("{server:?} has a port that is not a number from 1 to 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number_from_1_to_65535() {
        for servers in ["a", "a:9092", "a:65535, b:1", "PLAINTEXT://a:9092", "[::1]:9092", "[::1]"] {
            assert_eq!(problem(servers), None, "{servers}");
        }
        for servers in ["a:65536", "a:0", "a:x", "a:", "a:9092,b:74628", "SSL://a:74628", "[::1]:74628"] {
            assert!(problem(servers).is_some_and(|problem| problem.contains("65535")), "{servers}");
        }
        for servers in ["", ",", " , "] {
            assert!(problem(servers).is_some_and(|problem| problem.contains("names no broker")), "{servers}");
        }
        let login = problem("user:s3cret@a:9092").unwrap_or_default();
        assert!(login.contains("sasl.username") && !login.contains("s3cret"), "{login}");
    }
}
