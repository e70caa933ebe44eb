"""Settings of the platform. Environment variables override; without a secret key it does not start.

`READERSTUDY_DEMO=1` (set by `manage.py demo`) is the only mode that makes its own secret.
"""

from __future__ import annotations

from pathlib import Path

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from readerstudy.env import database, demo_secret, env, env_bool, env_int, env_list

BASE_DIR = Path(__file__).resolve().parent.parent
DEMO = env_bool("READERSTUDY_DEMO", False)
DATA_DIR = Path(env("READERSTUDY_DATA_DIR", str(BASE_DIR / "var"))).resolve()
DEBUG = False

SECRET_KEY = env("READERSTUDY_SECRET_KEY") or (demo_secret(DATA_DIR) if DEMO else "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "READERSTUDY_SECRET_KEY is not set: set it (or READERSTUDY_SECRET_KEY_FILE) to a long "
        "random text, or use `python3 dev.py demo` to try the platform."
    )
# The key of the audit chain is separate so that the web secret can be rotated.
AUDIT_KEY = env("READERSTUDY_AUDIT_KEY") or f"audit:{SECRET_KEY}"
# Keys the pseudonyms of imported patients: the same PatientID always gets the same code here.
PSEUDONYM_KEY = env("READERSTUDY_PSEUDONYM_KEY") or f"pseudonym:{SECRET_KEY}"

HTTPS = env_bool("READERSTUDY_HTTPS", not DEMO)
ALLOWED_HOSTS = env_list("READERSTUDY_ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]")
CSRF_TRUSTED_ORIGINS = env_list("READERSTUDY_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "django_htmx",
    "rules.apps.AutodiscoverRulesConfig",
    "readerstudy.ops",
    "readerstudy.accounts",
    "readerstudy.audit",
    "readerstudy.jobs",
    "readerstudy.library",
    "readerstudy.cases",
    "readerstudy.trials",
    "readerstudy.reading",
    "readerstudy.analysis",
    "synthesis",
    "recognition",
]

MIDDLEWARE = [
    "readerstudy.middleware.SecurityHeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "readerstudy.middleware.SessionAgeMiddleware",
    "readerstudy.middleware.DefaultDenyMiddleware",
    "readerstudy.middleware.SecondFactorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "readerstudy.middleware.UserErrorMiddleware",
]

ROOT_URLCONF = "readerstudy.urls"
WSGI_APPLICATION = "readerstudy.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "readerstudy.context.navigation",
            ],
            "builtins": ["readerstudy.templatetags.ui"],
            "libraries": {
                "ui": "readerstudy.templatetags.ui",
                "viewer": "readerstudy.templatetags.viewer",
            },
        },
    }
]

DATABASES = {"default": database(env("READERSTUDY_DATABASE_URL"), DATA_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env("READERSTUDY_REDIS_URL")
CACHES = {
    "default": (
        {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
        if REDIS_URL
        # Rate limits must be shared by all processes: never a per-process cache.
        else {
            "BACKEND": "django.core.cache.backends.db.DatabaseCache",
            "LOCATION": "readerstudy_cache",
        }
    )
}

# Celery only executes; the job row in the database is the queue of record (readerstudy.jobs).
CELERY_BROKER_URL = env("READERSTUDY_BROKER_URL", "memory://")
JOB_LEASE_SECONDS = env_int("READERSTUDY_JOB_LEASE_SECONDS", 30)

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "rules.permissions.ObjectPermissionBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_ADAPTER = "readerstudy.accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_LOGOUT_ON_GET = False
# A hospital is one address: the per-address part is generous, the per-account part is not.
ACCOUNT_RATE_LIMITS = {
    "login": "120/m/ip",
    "login_failed": "60/m/ip,5/10m/key",
    "reset_password": "20/m/ip,5/m/key",
}
MFA_ADAPTER = "readerstudy.accounts.adapter.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Reader Study"
# Coordinators hold everything before the truth is sealed: a second factor is required of them
# unless the installation says otherwise. The demo leaves it optional so that it can be tried.
REQUIRE_SECOND_FACTOR = env_bool("READERSTUDY_REQUIRE_SECOND_FACTOR", not DEMO)

EMAIL_BACKEND = (
    "django.core.mail.backends.smtp.EmailBackend"
    if env("READERSTUDY_SMTP_HOST")
    else "django.core.mail.backends.console.EmailBackend"
)
EMAIL_HOST = env("READERSTUDY_SMTP_HOST")
EMAIL_PORT = env_int("READERSTUDY_SMTP_PORT", 587)
EMAIL_HOST_USER = env("READERSTUDY_SMTP_USER")
EMAIL_HOST_PASSWORD = env("READERSTUDY_SMTP_PASSWORD")
EMAIL_USE_TLS = True
DEFAULT_FROM_EMAIL = env("READERSTUDY_FROM_EMAIL", "readerstudy@localhost")

SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_IDLE_SECONDS = env_int("READERSTUDY_SESSION_IDLE_SECONDS", 3 * 3600)
SESSION_COOKIE_AGE = env_int("READERSTUDY_SESSION_ABSOLUTE_SECONDS", 12 * 3600)
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "readerstudy.views.csrf_failure"
FRAME_TOKEN_SECONDS = 2 * 3600

X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = env_int("READERSTUDY_HSTS_SECONDS", 31_536_000) if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
if env_bool("READERSTUDY_BEHIND_PROXY", False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        # blob: and data: images are tool cursors and QR codes of the second factor.
        "img-src": [SELF, "blob:", "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "worker-src": [SELF],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

STATIC_URL = "static/"
STATIC_ROOT = Path(env("READERSTUDY_STATIC_ROOT", str(DATA_DIR / "static")))
STATICFILES_DIRS = [
    BASE_DIR / "static" / "site",
    ("viewer", BASE_DIR / "static" / "viewer" / "dist"),
]
# The demo serves straight from the sources; production compresses once with collectstatic.
WHITENOISE_USE_FINDERS = env_bool("READERSTUDY_STATIC_FROM_SOURCE", DEMO)
WHITENOISE_IMMUTABLE_FILE_TEST = r"^.*/static/viewer/assets/.+-[\w-]{8,}\.\w+$"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
            if WHITENOISE_USE_FINDERS
            else "readerstudy.staticstorage.ViewerAwareStaticStorage"
        )
    },
}

FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = 12 * 1024 * 1024
UPLOAD_CHUNK_BYTES = 4 * 1024 * 1024
UPLOAD_MAX_BYTES = env_int("READERSTUDY_UPLOAD_MAX_BYTES", 8 * 1024**3)

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

LOG_LEVEL = env("READERSTUDY_LOG_LEVEL", "INFO")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
            "rename_fields": {"asctime": "at", "levelname": "level", "name": "logger"},
        },
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "celery": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
    },
}

SILENCED_SYSTEM_CHECKS: list[str] = []
TEST_RUNNER = "django.test.runner.DiscoverRunner"
