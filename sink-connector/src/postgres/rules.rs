//! What `[postgres]` demands, checked without the server.

use shared::settings::RuleError;

use crate::config::Config;
use crate::postgres::parameters::Parameters;
use crate::postgres::tls::{self, TlsError};

const URL: &str = "postgres.url";
const PASSWORD_COMMAND: &str = "postgres.password_command";

/// Every error, without the URL: it may hold a password.
pub(crate) fn broken(config: &Config) -> Vec<RuleError> {
    let postgres = &config.postgres;
    let (mut broken, has_password) = match Parameters::parse(postgres.url.expose()) {
        Ok(parameters) => (of_files(&parameters), parameters.password.is_some()),
        Err(problems) => (problems.iter().map(of_url).collect(), false),
    };
    if postgres.password_command.as_ref().is_some_and(|command| command.first().is_none_or(String::is_empty))
    {
        broken.push(RuleError::new([PASSWORD_COMMAND], "is empty: name a program"));
    }
    let sources = [
        (PASSWORD_COMMAND, postgres.password_command.is_some()),
        ("postgres.password_file", postgres.password_file.is_some()),
        (URL, has_password),
    ];
    let given: Vec<&str> = sources.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
    if let [_, others @ ..] = given.as_slice()
        && !others.is_empty()
    {
        let others = others.join(", and so does ");
        let problem = format!("gives a password, and so does {others}; leave one of them out");
        broken.push(RuleError::new(given.iter().copied(), problem));
    }
    broken
}

/// The files of the URL: whether they may be used, then what they hold.
fn of_files(parameters: &Parameters) -> Vec<RuleError> {
    let unusable = parameters.unusable_files();
    if !unusable.is_empty() {
        return unusable.iter().map(of_url).collect();
    }
    match tls::connector(&parameters.ssl) {
        Ok(_) => Vec::new(),
        Err(TlsError::File(problem)) => vec![of_url(&problem)],
        Err(error) => vec![of_url(&error)],
    }
}

fn of_url(problem: &impl ToString) -> RuleError {
    RuleError::new([URL], problem.to_string())
}
