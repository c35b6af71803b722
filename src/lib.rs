pub mod base;
pub mod cluster;
pub mod conf;
pub mod seam;
pub mod wire;
