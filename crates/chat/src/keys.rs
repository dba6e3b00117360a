//! What keys, pastes and the window mean.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::chat::Action;
use crate::input::Edit;

/// What an event of the terminal means, if anything.
pub(crate) fn action(event: Event) -> Option<Action> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => of_key(key),
        Event::Paste(text) => Some(Action::Insert(text)),
        Event::FocusGained => Some(Action::Focus(true)),
        Event::FocusLost => Some(Action::Focus(false)),
        Event::Resize(..) => Some(Action::Resize),
        _ => None,
    }
}

fn of_key(key: KeyEvent) -> Option<Action> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    match key.code {
        KeyCode::Char(character) if control => of_control(character),
        KeyCode::Char('b') if alt => Some(Action::Edit(Edit::WordLeft)),
        KeyCode::Char('f') if alt => Some(Action::Edit(Edit::WordRight)),
        KeyCode::Char(character) if !alt => Some(Action::Insert(character.to_string())),
        KeyCode::Enter => Some(Action::Submit),
        KeyCode::Esc => Some(Action::Quit),
        KeyCode::Backspace if alt || control => Some(Action::Edit(Edit::DeleteWord)),
        KeyCode::Backspace => Some(Action::Edit(Edit::Backspace)),
        KeyCode::Delete => Some(Action::Edit(Edit::Delete)),
        KeyCode::Left if alt || control => Some(Action::Edit(Edit::WordLeft)),
        KeyCode::Right if alt || control => Some(Action::Edit(Edit::WordRight)),
        KeyCode::Left => Some(Action::Edit(Edit::Left)),
        KeyCode::Right => Some(Action::Edit(Edit::Right)),
        KeyCode::Home if control => Some(Action::Top),
        KeyCode::End if control => Some(Action::Bottom),
        KeyCode::Home => Some(Action::Edit(Edit::Home)),
        KeyCode::End => Some(Action::Edit(Edit::End)),
        KeyCode::Up => Some(Action::Rows(-1)),
        KeyCode::Down => Some(Action::Rows(1)),
        KeyCode::PageUp => Some(Action::Pages(-1)),
        KeyCode::PageDown => Some(Action::Pages(1)),
        _ => None,
    }
}

fn of_control(character: char) -> Option<Action> {
    match character {
        'c' | 'd' => Some(Action::Quit),
        'l' => Some(Action::Redraw),
        'a' => Some(Action::Edit(Edit::Home)),
        'e' => Some(Action::Edit(Edit::End)),
        'b' => Some(Action::Edit(Edit::Left)),
        'f' => Some(Action::Edit(Edit::Right)),
        'h' => Some(Action::Edit(Edit::Backspace)),
        'w' => Some(Action::Edit(Edit::DeleteWord)),
        'u' => Some(Action::Edit(Edit::DeleteToStart)),
        'k' => Some(Action::Edit(Edit::DeleteToEnd)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: KeyCode, modifiers: KeyModifiers) -> Option<Action> {
        action(Event::Key(KeyEvent::new(code, modifiers)))
    }

    #[test]
    fn three_keys_end_it() {
        for (code, modifiers) in [
            (KeyCode::Char('c'), KeyModifiers::CONTROL),
            (KeyCode::Char('d'), KeyModifiers::CONTROL),
            (KeyCode::Esc, KeyModifiers::NONE),
        ] {
            assert_eq!(of(code, modifiers), Some(Action::Quit));
        }
    }

    #[test]
    fn characters_are_typed_and_unknown_combinations_are_not() {
        let typed = Some(Action::Insert("É".into()));
        assert_eq!(of(KeyCode::Char('É'), KeyModifiers::SHIFT), typed);
        assert_eq!(of(KeyCode::Char('x'), KeyModifiers::CONTROL), None);
        assert_eq!(of(KeyCode::Char('x'), KeyModifiers::ALT), None);
        assert_eq!(action(Event::Paste("a\nb".into())), Some(Action::Insert("a\nb".into())));
    }

    #[test]
    fn a_key_that_is_let_go_means_nothing() {
        let mut key = KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE);
        assert_eq!(action(Event::Key(key)), Some(Action::Submit));
        key.kind = KeyEventKind::Release;
        assert_eq!(action(Event::Key(key)), None);
    }
}
