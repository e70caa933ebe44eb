"""The protocol: read, edit, upload, download."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from readerstudy.errors import UserError
from readerstudy.trials import selectors, services
from readerstudy.trials.access import require_trial_staff, trial_for
from readerstudy.trials.design import files, template
from readerstudy.trials.design.protocol import read
from readerstudy.trials.forms import ProtocolForm, ProtocolUploadForm
from readerstudy.trials.models import Trial

from .trials import page


def _document(trial: Trial) -> dict[str, object]:
    """What the form starts from: the protocol in force, else the template."""
    if trial.active_protocol is not None:
        document: dict[str, object] = trial.active_protocol.document
        return document
    return template.vtt_ct_1(trial.title)


@require_http_methods(["GET", "HEAD", "POST"])
def protocol(request: HttpRequest, slug: str) -> HttpResponse:
    trial = trial_for(request.user, slug, "manage" if request.method == "POST" else "view")
    context = page(request, trial, versions=selectors.protocol_versions(trial))
    if trial.state != Trial.State.DRAFT and request.method == "POST":
        # The service says in one sentence that it is locked.
        services.save_protocol(trial, _document(trial), actor=request.user)
    if trial.state != Trial.State.DRAFT or not context["manages"]:
        context["protocol"] = selectors.active_protocol(trial)
        return render(request, "trials/protocol.html", context)
    form = ProtocolForm(
        request.POST if request.method == "POST" else None, protocol=_document(trial)
    )
    if request.method == "POST" and form.is_valid() and form.protocol is not None:
        before = trial.active_protocol_id
        version = services.save_protocol(trial, form.protocol, actor=request.user)
        said = "Nothing had changed" if version.pk == before else "The protocol is saved"
        messages.success(request, f"{said}: version {version.number} is in force.")
        return redirect("trials:protocol", trial.slug)
    context |= {"form": form, "upload": ProtocolUploadForm()}
    status = 400 if form.is_bound and not form.is_valid() else 200
    return render(request, "trials/protocol_form.html", context, status=status)


@require_POST
def upload(request: HttpRequest, slug: str) -> HttpResponse:
    trial = trial_for(request.user, slug, "manage")
    form = ProtocolUploadForm(request.POST, request.FILES)
    if form.is_valid():
        try:
            loaded = files.load(form.cleaned_data["file"].read(files.MAX_BYTES + 1))
            version = services.save_protocol(trial, loaded, actor=request.user)
        except UserError as error:
            if error.status != UserError.status:
                raise
            form.add_error("file", str(error))
        else:
            messages.success(request, f"The file is in force as version {version.number}.")
            return redirect("trials:protocol", trial.slug)
    context = page(
        request,
        trial,
        versions=selectors.protocol_versions(trial),
        form=ProtocolForm(protocol=_document(trial)),
        upload=form,
    )
    return render(request, "trials/protocol_form.html", context, status=400)


def _yaml(text: str, name: str) -> HttpResponse:
    response = HttpResponse(text, content_type="application/yaml; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@require_safe
def download(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    trial = trial_for(request.user, slug, "view")
    version = selectors.protocol_version(trial, number)
    if version is None:
        raise Http404
    text = files.dump(selectors.protocol_of(version))
    return _yaml(text, f"{trial.slug}-protocol-{version.number}.yaml")


@require_safe
def template_file(request: HttpRequest) -> HttpResponse:
    """The template as a file; it says which key is still to be chosen."""
    require_trial_staff(request.user)
    complete = read(template.vtt_ct_1() | {"positive_class": "synthetic"})
    return _yaml(files.dump(complete), f"{template.NAME.lower()}.yaml")
