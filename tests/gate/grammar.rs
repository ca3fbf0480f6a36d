//! The grammar in `grammar.txt`: its sections, and texts made of them by chance.

use std::collections::HashMap;

use crate::common::random::Random;

const TEXT: &str = include_str!("grammar.txt");
/// Between statements that are sent one after the other.
const NEXT: &str = " ;; ";
/// Deeper than this every part is the first of its alternatives.
const DEPTH_MAX: usize = 5;

/// When statements of a section may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Only inside of other sections.
    Part,
    /// At any time: it needs no link of the session's own, and leaves none with it.
    Calm,
    /// The same, except that it begins a transaction where autocommit is off.
    Table,
    /// It may leave something that only its link has.
    Hold,
}

/// A list of alternatives.
#[derive(Debug)]
pub struct Section {
    pub name: &'static str,
    pub class: Class,
    /// How often it is chosen among those that are not [`Class::Part`].
    weight: usize,
    alternatives: Alternatives,
    /// What ends what it holds.
    ends: Alternatives,
}

#[derive(Debug, Default)]
struct Alternatives {
    lines: Vec<(usize, Vec<Part>)>,
    weight: usize,
}

#[derive(Debug)]
enum Part {
    Bytes(Vec<u8>),
    /// By the number of the section.
    Section(usize),
    /// The session's number.
    Number,
    /// The word of its connection.
    Life,
    /// The next statement begins.
    Next,
}

/// Who speaks.
#[derive(Debug, Clone, Copy)]
pub struct Speaker {
    pub number: usize,
    pub life: usize,
}

/// All sections, as one family of servers has them.
#[derive(Debug)]
pub struct Grammar {
    sections: Vec<Section>,
    by_name: HashMap<&'static str, usize>,
    mysql: bool,
}

impl Grammar {
    /// Without the sections of these names.
    ///
    /// # Panics
    /// When the file has a line that means nothing.
    pub fn new(mysql: bool, without: &[&str]) -> Self {
        let lines = || TEXT.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let mut sections: Vec<Section> = lines().filter_map(header).collect();
        for section in sections.iter_mut().filter(|section| without.contains(&section.name)) {
            section.weight = 0;
        }
        let by_name: HashMap<_, _> =
            sections.iter().enumerate().map(|(index, section)| (section.name, index)).collect();
        let mut current = None;
        for line in lines() {
            if header(line).is_some() {
                current = Some(current.map_or(0, |index| index + 1));
                continue;
            }
            let section = &mut sections[current.expect("a section comes first")];
            let other = if mysql { "m:" } else { "y:" };
            if line.starts_with(other) {
                continue;
            }
            let line = line.strip_prefix(if mysql { "y:" } else { "m:" }).unwrap_or(line);
            match line.strip_prefix("end: ") {
                Some(end) => section.ends.push(end, &by_name),
                None => section.alternatives.push(line, &by_name),
            }
        }
        Self { sections, by_name, mysql }
    }

    pub fn is_mysql(&self) -> bool {
        self.mysql
    }

    /// The number of a section, for [`Grammar::say`].
    pub fn section(&self, name: &str) -> usize {
        self.by_name[name]
    }

    pub fn class(&self, section: usize) -> Class {
        self.sections[section].class
    }

    pub fn name(&self, section: usize) -> &'static str {
        self.sections[section].name
    }

    /// A section for the next statement, of one of these classes.
    pub fn choose(&self, classes: &[Class], random: &mut Random) -> usize {
        let weight = |section: &Section| if classes.contains(&section.class) { section.weight } else { 0 };
        let mut rest = random.below(self.sections.iter().map(weight).sum());
        let chosen = self.sections.iter().position(|section| {
            let passed = rest < weight(section);
            rest = rest.saturating_sub(weight(section));
            passed
        });
        chosen.expect("below the sum")
    }

    /// Statements of a section.
    pub fn say(&self, section: usize, speaker: Speaker, random: &mut Random) -> Vec<Vec<u8>> {
        self.expand(&self.sections[section].alternatives, speaker, random)
    }

    /// What ends what a section holds.
    pub fn end(&self, section: usize, speaker: Speaker, random: &mut Random) -> Vec<Vec<u8>> {
        self.expand(&self.sections[section].ends, speaker, random)
    }

    fn expand(&self, from: &Alternatives, speaker: Speaker, random: &mut Random) -> Vec<Vec<u8>> {
        let mut out = vec![Vec::new()];
        self.expand_into(from, speaker, random, 0, &mut out);
        out
    }

    fn expand_into(
        &self,
        from: &Alternatives,
        speaker: Speaker,
        random: &mut Random,
        depth: usize,
        out: &mut Vec<Vec<u8>>,
    ) {
        for part in from.choose(random, depth) {
            let last = out.last_mut().expect("one at least");
            match part {
                Part::Bytes(bytes) => last.extend_from_slice(bytes),
                Part::Number => last.extend_from_slice(speaker.number.to_string().as_bytes()),
                Part::Life => {
                    last.extend_from_slice(format!("{}_{}", speaker.number, speaker.life).as_bytes());
                }
                Part::Next => out.push(Vec::new()),
                Part::Section(index) => {
                    let section = &self.sections[*index].alternatives;
                    self.expand_into(section, speaker, random, depth + 1, out);
                }
            }
        }
    }
}

impl Alternatives {
    fn push(&mut self, line: &str, by_name: &HashMap<&str, usize>) {
        let (weight, text) = match line.split_once('*') {
            Some((digits, text)) if digits.len() == 1 && digits != "0" => match digits.parse() {
                Ok(weight) => (weight, text),
                Err(_) => (1, line),
            },
            _ => (1, line),
        };
        self.weight += weight;
        self.lines.push((weight, parts(text, by_name)));
    }

    fn choose(&self, random: &mut Random, depth: usize) -> &[Part] {
        let mut rest = if depth > DEPTH_MAX { 0 } else { random.below(self.weight) };
        for (weight, parts) in &self.lines {
            if rest < *weight {
                return parts;
            }
            rest -= weight;
        }
        unreachable!("below the sum")
    }
}

/// `[name]` or `[class weight name]`.
fn header(line: &'static str) -> Option<Section> {
    let words: Vec<_> = line.strip_prefix('[')?.strip_suffix(']')?.split(' ').collect();
    let (class, weight, name) = match words[..] {
        [name] => (Class::Part, 0, name),
        [class, weight, name] => {
            let class = match class {
                "calm" => Class::Calm,
                "table" => Class::Table,
                "hold" => Class::Hold,
                other => panic!("{other} is no class of statements"),
            };
            (class, weight.parse().expect("a weight"), name)
        }
        _ => panic!("{line} is no header"),
    };
    Some(Section {
        name,
        class,
        weight,
        alternatives: Alternatives::default(),
        ends: Alternatives::default(),
    })
}

fn parts(text: &str, by_name: &HashMap<&str, usize>) -> Vec<Part> {
    let mut parts = Vec::new();
    for (index, statement) in text.split(NEXT).enumerate() {
        if index > 0 {
            parts.push(Part::Next);
        }
        let mut rest = statement;
        while let Some(start) = rest.find('<') {
            let (before, after) = rest.split_at(start);
            let reference = after[1..].split_once('>').filter(|(name, _)| is_name(name));
            let Some((name, following)) = reference else {
                // A less-than.
                parts.push(Part::Bytes(rest.as_bytes()[..=start].to_vec()));
                rest = &rest[start + 1..];
                continue;
            };
            parts.push(Part::Bytes(before.as_bytes().to_vec()));
            parts.push(match name {
                "n" => Part::Number,
                "life" => Part::Life,
                name => match (name.strip_prefix('x').and_then(hexadecimal), by_name.get(name)) {
                    (_, Some(section)) => Part::Section(*section),
                    (Some(bytes), None) => Part::Bytes(bytes),
                    (None, None) => panic!("<{name}> in {text}"),
                },
            });
            rest = following;
        }
        parts.push(Part::Bytes(rest.as_bytes().to_vec()));
    }
    parts
}

fn is_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(letter)
}

fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    let starts = (0..digits.len()).step_by(2);
    starts.map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
}
