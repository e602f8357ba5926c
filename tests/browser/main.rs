//! Real calls between real browsers: Debian's Chromium, with its made-up camera and microphone, on a real server and file.
//!
//! What is checked is what arrived, by the browsers' own statistics, and not what was clicked.

#[path = "../support/mod.rs"]
mod support;

mod accessibility;
mod axe;
mod browser;
mod calls;
mod devices;
mod faults;
mod history;
mod network;
mod pictures;
mod relay;
mod screens;
mod stage;
mod views;
