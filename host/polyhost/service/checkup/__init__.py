"""What ``polyhost doctor`` looks at, one function a question; ``service/doctor.py`` asks them all."""
