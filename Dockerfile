# One image for web and worker. The CPU build of PyTorch by default; for a GPU worker build with
# --build-arg READERSTUDY_TORCH_INDEX=https://download.pytorch.org/whl/cu130
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 PATH=/app/.venv/bin:$PATH
WORKDIR /app

# Dependencies first: this layer changes only with the lock.
COPY dev.py pyproject.toml constraints.txt ./
ARG READERSTUDY_TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN PIP_NO_CACHE_DIR=1 python dev.py install

COPY . .
# The key of this one step protects nothing: collectstatic reads settings and signs nothing.
RUN READERSTUDY_SECRET_KEY=image-build-only READERSTUDY_STATIC_ROOT=/app/staticfiles \
    python manage.py collectstatic --noinput \
    && useradd --system --uid 10001 --home-dir /data readerstudy \
    && install -d -o readerstudy -g readerstudy /data

USER readerstudy
VOLUME /data
EXPOSE 8000
CMD ["python", "manage.py", "web", "--host", "0.0.0.0"]
