//! Both checkers over a small store: what is right passes, what is wrong is caught.

mod correct;
mod planted;
mod reference;
