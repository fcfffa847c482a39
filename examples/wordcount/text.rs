//! Reading the text: once, before any process starts.

use std::path::{Path, PathBuf};

/// About how many bytes one process counts at a time.
const PIECE: usize = 64 << 10;

/// All text, cut at white space.
pub struct Text {
    pub files: usize,
    pub bytes: usize,
    pub pieces: Vec<String>,
}

/// Reads all files below the given paths; what cannot be read, or is not UTF-8, is reported and skipped.
pub fn read(paths: &[PathBuf]) -> Text {
    let mut text = Text { files: 0, bytes: 0, pieces: Vec::new() };
    let mut binary = 0;
    for path in paths {
        let visible = |e: &walkdir::DirEntry| e.depth() == 0 || !is_build_output(e.path());
        for entry in walkdir::WalkDir::new(path).sort_by_file_name().into_iter().filter_entry(visible) {
            match entry {
                Ok(e) if e.file_type().is_file() => match std::fs::read(e.path()).map(String::from_utf8) {
                    Ok(Ok(content)) => {
                        text.files += 1;
                        text.bytes += content.len();
                        cut(content, &mut text.pieces);
                    }
                    Ok(Err(_)) => {
                        binary += 1;
                        if binary <= 3 {
                            eprintln!("skipped, not UTF-8: {}", e.path().display());
                        }
                    }
                    Err(error) => eprintln!("skipped: {}: {error}", e.path().display()),
                },
                Ok(_) => {}
                Err(error) => eprintln!("skipped: {error}"),
            }
        }
    }
    if binary > 3 {
        eprintln!("skipped, not UTF-8: {} more", binary - 3);
    }
    text
}

fn is_build_output(path: &Path) -> bool {
    path.file_name().is_some_and(|n| n == "target" || n == ".git")
}

fn cut(mut content: String, pieces: &mut Vec<String>) {
    while content.len() > PIECE {
        let mut at = PIECE;
        while !content.is_char_boundary(at) {
            at += 1;
        }
        let Some(space) = content[at..].find(char::is_whitespace) else { break };
        let rest = content.split_off(at + space);
        pieces.push(std::mem::replace(&mut content, rest));
    }
    pieces.push(content);
}
