//! The ten teams of the IPL with their grounds, captains and players, as of the season of 2024.

/// One team of the league.
#[derive(Debug)]
pub struct Team {
    /// Full name, as it stands in records.
    pub name: &'static str,
    /// Home grounds, each with its city.
    pub grounds: &'static [&'static str],
    /// The captain, who plays as well.
    pub captain: &'static str,
    /// The other ten of the side.
    pub players: [&'static str; 10],
    /// Year of the first season that the team played among those generated.
    pub first_season: i32,
}

/// The teams, those of all seasons first: the sides of a season are a prefix of this list.
pub static TEAMS: [Team; 10] = [
    Team {
        name: "Chennai Super Kings",
        grounds: &["MA Chidambaram Stadium, Chennai"],
        captain: "Ruturaj Gaikwad",
        players: [
            "MS Dhoni",
            "Ravindra Jadeja",
            "Shivam Dube",
            "Rachin Ravindra",
            "Daryl Mitchell",
            "Moeen Ali",
            "Deepak Chahar",
            "Matheesha Pathirana",
            "Tushar Deshpande",
            "Mustafizur Rahman",
        ],
        first_season: 2020,
    },
    Team {
        name: "Mumbai Indians",
        grounds: &["Wankhede Stadium, Mumbai"],
        captain: "Hardik Pandya",
        players: [
            "Rohit Sharma",
            "Suryakumar Yadav",
            "Ishan Kishan",
            "Tilak Varma",
            "Tim David",
            "Mohammad Nabi",
            "Piyush Chawla",
            "Gerald Coetzee",
            "Jasprit Bumrah",
            "Akash Madhwal",
        ],
        first_season: 2020,
    },
    Team {
        name: "Royal Challengers Bengaluru",
        grounds: &["M Chinnaswamy Stadium, Bengaluru"],
        captain: "Faf du Plessis",
        players: [
            "Virat Kohli",
            "Glenn Maxwell",
            "Rajat Patidar",
            "Cameron Green",
            "Dinesh Karthik",
            "Mahipal Lomror",
            "Karn Sharma",
            "Mohammed Siraj",
            "Yash Dayal",
            "Lockie Ferguson",
        ],
        first_season: 2020,
    },
    Team {
        name: "Kolkata Knight Riders",
        grounds: &["Eden Gardens, Kolkata"],
        captain: "Shreyas Iyer",
        players: [
            "Phil Salt",
            "Sunil Narine",
            "Venkatesh Iyer",
            "Nitish Rana",
            "Andre Russell",
            "Rinku Singh",
            "Ramandeep Singh",
            "Mitchell Starc",
            "Varun Chakravarthy",
            "Harshit Rana",
        ],
        first_season: 2020,
    },
    Team {
        name: "Sunrisers Hyderabad",
        grounds: &["Rajiv Gandhi International Stadium, Hyderabad"],
        captain: "Pat Cummins",
        players: [
            "Travis Head",
            "Abhishek Sharma",
            "Aiden Markram",
            "Heinrich Klaasen",
            "Nitish Kumar Reddy",
            "Abdul Samad",
            "Shahbaz Ahmed",
            "Bhuvneshwar Kumar",
            "Jaydev Unadkat",
            "T Natarajan",
        ],
        first_season: 2020,
    },
    Team {
        name: "Delhi Capitals",
        grounds: &[
            "Arun Jaitley Stadium, Delhi",
            "Dr. Y.S. Rajasekhara Reddy ACA-VDCA Cricket Stadium, Visakhapatnam",
        ],
        captain: "Rishabh Pant",
        players: [
            "Prithvi Shaw",
            "Jake Fraser-McGurk",
            "Abishek Porel",
            "Tristan Stubbs",
            "Axar Patel",
            "Kuldeep Yadav",
            "Anrich Nortje",
            "Khaleel Ahmed",
            "Mukesh Kumar",
            "Ishant Sharma",
        ],
        first_season: 2020,
    },
    Team {
        name: "Rajasthan Royals",
        grounds: &["Sawai Mansingh Stadium, Jaipur", "Barsapara Cricket Stadium, Guwahati"],
        captain: "Sanju Samson",
        players: [
            "Yashasvi Jaiswal",
            "Jos Buttler",
            "Riyan Parag",
            "Dhruv Jurel",
            "Shimron Hetmyer",
            "Rovman Powell",
            "Ravichandran Ashwin",
            "Trent Boult",
            "Avesh Khan",
            "Yuzvendra Chahal",
        ],
        first_season: 2020,
    },
    Team {
        name: "Punjab Kings",
        grounds: &[
            "Maharaja Yadavindra Singh International Cricket Stadium, Mullanpur",
            "HPCA Stadium, Dharamsala",
        ],
        captain: "Shikhar Dhawan",
        players: [
            "Jonny Bairstow",
            "Prabhsimran Singh",
            "Shashank Singh",
            "Ashutosh Sharma",
            "Jitesh Sharma",
            "Sam Curran",
            "Liam Livingstone",
            "Kagiso Rabada",
            "Harshal Patel",
            "Arshdeep Singh",
        ],
        first_season: 2020,
    },
    Team {
        name: "Gujarat Titans",
        grounds: &["Narendra Modi Stadium, Ahmedabad"],
        captain: "Shubman Gill",
        players: [
            "Sai Sudharsan",
            "Wriddhiman Saha",
            "David Miller",
            "Vijay Shankar",
            "Rahul Tewatia",
            "Rashid Khan",
            "Azmatullah Omarzai",
            "Umesh Yadav",
            "Noor Ahmad",
            "Mohit Sharma",
        ],
        first_season: 2022,
    },
    Team {
        name: "Lucknow Super Giants",
        grounds: &["Ekana Cricket Stadium, Lucknow"],
        captain: "KL Rahul",
        players: [
            "Quinton de Kock",
            "Nicholas Pooran",
            "Marcus Stoinis",
            "Ayush Badoni",
            "Deepak Hooda",
            "Krunal Pandya",
            "Ravi Bishnoi",
            "Mohsin Khan",
            "Naveen-ul-Haq",
            "Mayank Yadav",
        ],
        first_season: 2022,
    },
];

/// The teams that play in the season of `year`.
pub fn teams_of(year: i32) -> &'static [Team] {
    &TEAMS[..TEAMS.partition_point(|team| team.first_season <= year)]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn eight_teams_play_until_2021_and_ten_from_2022() {
        assert_eq!(teams_of(2020).len(), 8);
        assert_eq!(teams_of(2021).len(), 8);
        assert_eq!(teams_of(2022).len(), 10);
        assert!(TEAMS.is_sorted_by_key(|team| team.first_season));
    }

    #[test]
    fn no_name_stands_twice() {
        let people = TEAMS.iter().flat_map(|team| team.players.iter().copied().chain([team.captain]));
        assert_eq!(people.collect::<HashSet<_>>().len(), 110);
        let grounds: Vec<_> = TEAMS.iter().flat_map(|team| team.grounds).collect();
        assert_eq!(grounds.iter().collect::<HashSet<_>>().len(), grounds.len());
        assert_eq!(TEAMS.iter().map(|team| team.name).collect::<HashSet<_>>().len(), 10);
    }
}
